-- Candles of seconds, days of any time zone, and on each candle whether it is closed and what its volume follows from:
-- docs/explanation/candles.md.
-- Locks: none, but the functions that return candles are dropped and made again.

-- When ticks of a symbol may still be missing, although they belong to the past: in gaps of its feeds that are not settled,
-- and from where a feed that streams it has stored everything. A gap is settled for a symbol when it was filled, or when there
-- is nothing to fill it with. A running feed has stored what it received until two seconds ago (vendors give whole seconds,
-- batches take up to a quarter), and less by its latest lag, which is long while it writes what waited for the database.
-- Without statistics for half a minute its process is dead. Acts for the owner: who may read candles needs no right to the rest.
CREATE FUNCTION candleworks.unsettled_times(wanted text, start timestamptz, stop timestamptz) RETURNS tstzmultirange
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT tstzmultirange(tstzrange(least(now() - interval '2 seconds', min(f.stored_until)), NULL)) + coalesce((
        SELECT range_agg(tstzrange(g.started_at, g.ended_at))
        FROM candleworks.gaps_of(wanted, start, stop) g
        WHERE g.filled_at IS NULL AND NOT EXISTS (
            SELECT FROM public.gap_fills s WHERE s.gap_id = g.id AND s.symbol = wanted AND s.outcome <> 'failed'
        )
    ), '{}')
    FROM (
        SELECT CASE
            WHEN max(i.at) >= now() - interval '30 seconds'
                THEN now() - interval '2 seconds' - make_interval(secs => coalesce(max(i.lag_ms_max), 0) / 1000)
            ELSE coalesce(max(i.at), max(s.since))
        END AS stored_until
        FROM public.feed_symbols s
        LEFT JOIN LATERAL (
            SELECT n.at, n.lag_ms_max FROM public.ingest_stats n WHERE n.feed = s.feed ORDER BY n.at DESC LIMIT 2
        ) i ON true
        WHERE s.symbol = wanted AND s.status IN ('asked', 'streaming') AND NOT candleworks.is_stopped(s.feed)
        GROUP BY s.feed
    ) f
$$;

-- Whether the candle of a bucket is closed: no tick of it may still be missing.
CREATE FUNCTION candleworks.is_closed(bucket timestamptz, stop timestamptz, unsettled tstzmultirange) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN NOT unsettled && tstzrange(bucket, stop);

-- The zone whose days begin and end buckets of a period: periods below a day are counted in UTC, whatever the zone.
CREATE FUNCTION candleworks.zone_of_period(period interval, zone text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN zone IS NOT NULL AND (extract(epoch FROM period) % 86400 = 0 OR period >= interval '1 month' AND period = date_trunc('month', period))
    THEN zone ELSE 'UTC'
END;

-- The end of a bucket, in plain time of the zone: days have 23 or 25 hours where clocks change.
CREATE FUNCTION candleworks.bucket_end(bucket timestamptz, period interval, zone text DEFAULT NULL) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (bucket AT TIME ZONE candleworks.zone_of_period(period, zone) + period)
    AT TIME ZONE candleworks.zone_of_period(period, zone);

-- The start of the bucket that holds a moment.
CREATE FUNCTION candleworks.bucket_start(moment timestamptz, period interval, zone text DEFAULT NULL) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN public.time_bucket(period, moment AT TIME ZONE candleworks.zone_of_period(period, zone) AT TIME ZONE 'UTC')
    AT TIME ZONE 'UTC' AT TIME ZONE candleworks.zone_of_period(period, zone);

-- The coarsest stored level whose candles fill buckets of `period` exactly; 'ticks' for periods below a minute.
CREATE OR REPLACE FUNCTION candleworks.level_for(period interval) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    seconds numeric := extract(epoch FROM period);
    months integer := extract(year FROM period) * 12 + extract(month FROM period);
BEGIN
    IF period IS NULL OR period <= interval '0' OR (seconds % CASE WHEN seconds < 60 THEN 1 ELSE 60 END) <> 0 THEN
        RAISE EXCEPTION 'ohlc: the period is %, it must be whole seconds below a minute, or a positive multiple of one minute.',
            period USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF months > 0 AND period <> date_trunc('month', period) THEN
        RAISE EXCEPTION 'ohlc: the period is %, it must be either of whole months or without months.', period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN CASE
        WHEN months > 0 OR seconds % 86400 = 0 THEN '1d'
        WHEN seconds % 14400 = 0 THEN '4h'
        WHEN seconds % 3600 = 0 THEN '1h'
        WHEN seconds % 900 = 0 THEN '15m'
        WHEN seconds % 300 = 0 THEN '5m'
        WHEN seconds % 60 = 0 THEN '1m'
        ELSE 'ticks'
    END;
END $$;

-- The coarsest level whose candles fill the days of a zone in ["from", "to") exactly: 1h where it is whole hours from UTC, 15m
-- where it is quarters, as in India, and 1m elsewhere. Ticks of before 1972, when the last local
-- mean time ended, are not expected.
CREATE FUNCTION candleworks.level_for_zone(zone text, "from" timestamptz, "to" timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE max(CASE WHEN o.seconds % 3600 = 0 THEN 1 WHEN o.seconds % 900 = 0 THEN 2 ELSE 3 END)
        WHEN 3 THEN '1m' WHEN 2 THEN '15m' ELSE '1h' END
    FROM generate_series(
        greatest("from", timestamptz '1972-02-01 00:00+00') - interval '744 hours',
        least("to", now()) + interval '1488 hours', interval '744 hours'
    ) m(moment)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM (m.moment AT TIME ZONE zone) - (m.moment AT TIME ZONE 'UTC')) AS seconds
    ) o
$$;

DROP FUNCTION public.ohlc(text, interval, timestamptz, timestamptz, text);
DROP FUNCTION candleworks.candles_of(text, interval, timestamptz, timestamptz, text);

-- Where candles_of() reads: a stored level as it is, candles combined from one, ticks, or candles combined to the days of a zone.
-- $1 is the symbol, $2 the period, $3 and $4 the range, $5 the zone.

-- The relation of a level. Days of trades that no daily bar completes are read from ticks alone, if they may be, because a plan
-- for candles_1d takes plain PostgreSQL 13 ms longer.
CREATE FUNCTION candleworks.relation_of(symbol text, prefix text, level text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF prefix = '' AND level = '1d' AND NOT candleworks.has_daily_bars(symbol)
        AND has_table_privilege('public.tick_candles_1d', 'SELECT')
    THEN
        RETURN 'tick_candles_1d';
    END IF;
    RETURN prefix || 'candles_' || level;
END $$;

-- What a family's candles are combined from, `of_ticks` or `of_candles` of candle_columns; of the running total only whether there
-- is one. Columns that the output leaves out are not computed: the planner drops them from a subquery.
CREATE FUNCTION candleworks.combined_columns(family text, from_ticks boolean) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT string_agg(format('%s AS %I', CASE
        WHEN c.name = 'day_volume' THEN 'max(day_volume)' WHEN from_ticks THEN c.of_ticks ELSE c.of_candles
    END, c.name), ', ')
    FROM candleworks.candle_columns c WHERE c.family = combined_columns.family
$$;

-- One-minute bars are left out of seconds, because nothing is known of their seconds.
CREATE FUNCTION candleworks.query_of_seconds(family text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format($sql$
        SELECT date_bin($2, t.time, timestamptz '2000-01-03 00:00+00') AS bucket, %s
        FROM public.%I t
        WHERE t.symbol = $1 AND t.time >= date_bin($2, $3, timestamptz '2000-01-03 00:00+00')
            AND t.time < date_bin($2, $4 - interval '1 microsecond', timestamptz '2000-01-03 00:00+00') + $2
            AND t.origin <> 'bar'
        GROUP BY 1
    $sql$, candleworks.combined_columns(family, true), f.ticks)
    FROM candleworks.candle_families f WHERE f.name = family
$$;

CREATE FUNCTION candleworks.query_of_level(family text, relation text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format($sql$
        SELECT public.time_bucket($2, b.bucket) AS bucket, %s
        FROM public.%I b
        WHERE b.symbol = $1 AND b.bucket >= public.time_bucket($2, $3) AND public.time_bucket($2, b.bucket) < $4
            AND b.bucket < $4 + $2 + interval '1 day' -- redundant, but bounds the search
        GROUP BY 1
    $sql$, candleworks.combined_columns(family, false), relation)
$$;

-- Days are counted from Monday 2000-01-03, months from 2000-01-01, in the zone's time. A daily bar is the day of its date in
-- any zone: it is a date of the exchange.
CREATE FUNCTION candleworks.query_of_zone(family text, relation text, months boolean, bars boolean) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format($sql$
        SELECT %1$s AT TIME ZONE $5 AS bucket, %2$s
        FROM (
            SELECT b.*, b.bucket AT TIME ZONE $5 AS local FROM public.%3$I b WHERE b.symbol = $1 %4$s
        ) b
        WHERE b.bucket >= $3 - $2 - interval '1 day' AND b.bucket < $4 + $2 + interval '1 day' -- bounds the search
            AND %1$s AT TIME ZONE $5 < $4 AND (%1$s + $2) AT TIME ZONE $5 > $3
        GROUP BY 1
    $sql$,
        CASE WHEN months THEN 'public.time_bucket($2, b.local AT TIME ZONE ''UTC'') AT TIME ZONE ''UTC'''
            ELSE 'date_bin($2, b.local, timestamp ''2000-01-03'')' END,
        candleworks.combined_columns(family, false), relation,
        CASE WHEN bars THEN $sql$
            UNION ALL
            SELECT d.*, d.bucket AT TIME ZONE 'UTC' FROM public.candles_1d d WHERE d.symbol = $1 AND d.rebuilt AND d.ticks = 0
        $sql$ END)
$$;

-- What the volume of a candle follows from: sizes of trades or quotes, or the running total of the trading day, at least in part.
CREATE FUNCTION candleworks.volume_source(volume double precision, day_volume double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN volume IS NULL THEN NULL WHEN day_volume IS NULL THEN 'sizes' ELSE 'day_volume' END;

-- The statement that reads candles in any order, with its values as literals. What candles_of() returns is sorted, and kept until
-- the last row is there, which takes as long as reading a million of them; who reads so many runs the statement itself.
CREATE FUNCTION candleworks.candles_statement(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text, zone text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    level text := candleworks.level_for(period);
    days_of text := nullif(candleworks.zone_of_period(period, zone), 'UTC');
    start timestamptz := coalesce("from", '-infinity');
    stop timestamptz := coalesce("to", 'infinity');
    unsettled tstzmultirange := candleworks.unsettled_times(symbol, start, stop);
    bars boolean := side.prefix = '' AND days_of IS NOT NULL AND candleworks.has_daily_bars(symbol);
    source text;
    statement text;
BEGIN
    IF strpos(zone, '$') > 0 THEN -- no zone has one, and the literals are put in by turns
        RAISE EXCEPTION 'time zone "%" not recognized', zone USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF level = 'ticks' THEN
        stop := least(stop, now() + interval '1 minute');
        IF stop - start > interval '7 days' THEN
            RAISE EXCEPTION 'ohlc: the range of % is from % to %, it must be at most 7 days for periods below a minute.',
                period, "from", "to" USING ERRCODE = 'invalid_parameter_value';
        END IF;
        source := candleworks.query_of_seconds(side.family);
    ELSIF days_of IS NOT NULL THEN
        source := candleworks.query_of_zone(side.family, side.prefix || 'candles_' || candleworks.level_for_zone(days_of, start, stop),
            period >= interval '1 month' AND period = date_trunc('month', period), bars);
    ELSIF extract(epoch FROM period) IN (60, 300, 900, 3600, 14400, 86400) THEN
        -- A stored level is read as it is: 2,000 candles in 5 ms instead of 16.
        source := format('SELECT * FROM public.%I WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND bucket < $4',
            candleworks.relation_of(symbol, side.prefix, level));
    ELSE
        source := candleworks.query_of_level(side.family, candleworks.relation_of(symbol, side.prefix, level));
    END IF;
    -- What is older than anything unsettled is closed without computing its end: 1,440 candles in 12 ms instead of 18.
    statement := format(
        'SELECT bucket, %s, ticks, %s AS rebuilt,'
        ' bucket < $7 OR candleworks.is_closed(bucket, candleworks.bucket_end(bucket, $2, $5), $6) AS closed,'
        ' candleworks.volume_source(%s) AS volume_from FROM (%s) candles',
        side.columns,
        CASE
            WHEN side.family = 'trade' THEN 'rebuilt'
            WHEN level <> 'ticks' AND candleworks.has_quote_bars(symbol) THEN 'candleworks.quote_rebuilt($1, bucket, $2)'
            ELSE 'false'
        END,
        CASE side.family WHEN 'trade' THEN 'volume, day_volume' ELSE 'coalesce(bid_volume, ask_volume), NULL' END,
        source);
    statement := replace(statement, '$7', quote_nullable(lower(unsettled) - period - interval '2 hours') || '::timestamptz');
    statement := replace(statement, '$6', quote_literal(unsettled) || '::tstzmultirange');
    statement := replace(statement, '$5', quote_nullable(days_of) || '::text');
    statement := replace(statement, '$4', quote_literal(stop) || '::timestamptz');
    statement := replace(statement, '$3', quote_literal(start) || '::timestamptz');
    statement := replace(statement, '$2', quote_literal(period) || '::interval');
    RETURN replace(statement, '$1', quote_nullable(symbol) || '::text');
END $$;

-- What ohlc() returns, and whether a tick of the candle was rebuilt from a bar. For quotes the stored bars say so, because their
-- candles have no such column.
CREATE FUNCTION candleworks.candles_of(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text, zone text DEFAULT NULL
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, rebuilt boolean, closed boolean, volume_from text
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE candleworks.candles_statement(symbol, period, "from", "to", price, zone) || ' ORDER BY bucket';
END $$;

CREATE FUNCTION public.ohlc(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, closed boolean, volume_from text
)
LANGUAGE sql STABLE AS $$
    SELECT c.bucket, c.open, c.high, c.low, c.close, c.volume, c.ticks, c.closed, c.volume_from
    FROM candleworks.candles_of(symbol, period, "from", "to", price, zone) c
$$;
COMMENT ON FUNCTION public.ohlc IS
    'Candles of "period" that overlap ["from", "to"), all of them whole, oldest first; null means no bound. Periods below a'
    ' minute are whole seconds and need a range of at most 7 days, others are multiples of one minute. "price" is the side:'
    ' trade, bid, ask or mid. Days, weeks and months begin at midnight of "zone", such as America/New_York, or of UTC where it'
    ' is null. volume is null where no tick of the candle has one; volume_from says whether it is the sum of sizes of trades'
    ' (sizes), or follows at least in part from the running total of the trading day (day_volume). closed: the bucket is over'
    ' and no tick of it is missing.';

-- As before, and between minutes the last tick.
CREATE OR REPLACE FUNCTION candleworks.last_close_before(wanted text, moment timestamptz) RETURNS double precision
LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(
        (SELECT t.price FROM public.stocks_real_time t
         WHERE t.symbol = wanted AND t.time >= date_trunc('minute', moment, 'UTC') AND t.time < moment AND t.origin <> 'bar'
         ORDER BY t.time DESC LIMIT 1),
        (SELECT c.close FROM public.candles_1m c
         WHERE c.symbol = wanted AND c.bucket >= public.time_bucket('1 day', moment)
            AND c.bucket < date_trunc('minute', moment, 'UTC')
         ORDER BY c.bucket DESC LIMIT 1),
        (SELECT c.close FROM public.tick_candles_1d c
         WHERE c.symbol = wanted AND c.bucket < public.time_bucket('1 day', moment)
         ORDER BY c.bucket DESC LIMIT 1)
    )
$$;

-- As before, and with `closed`.
DROP FUNCTION public.candles_filled(text, interval, timestamptz, timestamptz, boolean);
CREATE FUNCTION public.candles_filled(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, carry boolean DEFAULT false
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, status text, closed boolean
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    stop timestamptz := least("to", now() + interval '1 microsecond');
    start timestamptz;
    calendar text := candleworks.calendar_of(symbol);
    open_times tstzmultirange;
    down_times tstzmultirange;
    unsettled tstzmultirange;
    before double precision;
BEGIN
    IF candleworks.count_buckets(period, coalesce("from", '-infinity'), stop) <= 0 THEN
        RETURN;
    END IF;
    start := public.time_bucket(period, "from");
    PERFORM candleworks.require_sessions(calendar, start), candleworks.require_sessions(calendar, stop);
    open_times := candleworks.open_times(calendar, start, stop + period);
    down_times := candleworks.down_times(symbol, start, stop + period);
    unsettled := candleworks.unsettled_times(symbol, start, stop + period);
    IF carry THEN
        before := candleworks.last_close_before(symbol, start);
    END IF;
    RETURN QUERY
    WITH grid AS (
        -- In plain timestamps: with a time zone, days and months would be those of the reader's zone.
        SELECT g.moment AT TIME ZONE 'UTC' AS bucket,
            tstzrange(g.moment AT TIME ZONE 'UTC', (g.moment + period) AT TIME ZONE 'UTC') AS span
        FROM generate_series(
            start AT TIME ZONE 'UTC', (stop - interval '1 microsecond') AT TIME ZONE 'UTC', period
        ) g(moment)
    ), candles AS (
        SELECT g.bucket, g.span, c.open, c.high, c.low, c.close, c.volume, c.ticks,
            count(c.ticks) OVER (ORDER BY g.bucket) AS candles_so_far
        FROM grid g
        LEFT JOIN public.ohlc(symbol, period, start, stop) c ON c.bucket = g.bucket
    ), carried AS (
        SELECT *, CASE WHEN carry THEN coalesce(
            first_value(close) OVER (PARTITION BY candles_so_far ORDER BY bucket), before
        ) END AS last_close
        FROM candles
    )
    SELECT bucket,
        coalesce(open, last_close), coalesce(high, last_close), coalesce(low, last_close), coalesce(close, last_close),
        CASE WHEN ticks IS NULL THEN 0 ELSE volume END,
        coalesce(ticks, 0),
        CASE
            WHEN ticks IS NOT NULL THEN 'traded'
            WHEN down_times && span THEN 'down'
            WHEN open_times && span THEN 'quiet'
            ELSE 'closed'
        END,
        candleworks.is_closed(lower(span), upper(span), unsettled)
    FROM carried
    ORDER BY bucket;
END $$;
COMMENT ON FUNCTION public.candles_filled IS
    'Every bucket of "period" that overlaps ["from", "to") and has begun, all of them whole, oldest first; a "to" of'
    ' null means now. status: traded (has ticks), down (an unfilled gap of the feed touches it), closed (no part of'
    ' it lies in a session), quiet. Without ticks, volume and ticks are 0, and the prices null or, with "carry", the'
    ' last close before. The column closed says that the bucket is over and no tick of it is missing, as in ohlc().';

-- As before, and with `closed`.
DROP FUNCTION public.session_candles(text, timestamptz, timestamptz);
CREATE FUNCTION public.session_candles(symbol text, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    session date, open_at timestamptz, close_at timestamptz, open double precision, high double precision,
    low double precision, close double precision, volume double precision, vwap double precision, ticks bigint, closed boolean
)
LANGUAGE plpgsql STABLE ROWS 250 AS $$
DECLARE
    calendar text := candleworks.calendar_of(symbol);
    start timestamptz := coalesce("from", '-infinity');
    stop timestamptz := coalesce("to", 'infinity');
    unsettled tstzmultirange := candleworks.unsettled_times(symbol, start, stop);
BEGIN
    IF calendar = '24/7' THEN
        RETURN QUERY
        SELECT (d.bucket AT TIME ZONE 'UTC')::date, d.bucket, d.bucket + interval '24 hours',
            d.open, d.high, d.low, d.close, d.volume, d.vwap, d.ticks,
            candleworks.is_closed(d.bucket, d.bucket + interval '24 hours', unsettled)
        FROM public.tick_candles_1d d
        WHERE d.symbol = session_candles.symbol AND d.bucket >= start AND d.bucket < stop
        ORDER BY d.bucket;
        RETURN;
    END IF;
    PERFORM candleworks.require_sessions(calendar, d.bucket)
    FROM candleworks.calendars c
    JOIN public.tick_candles_1d d ON d.bucket < c.first_day::timestamp AT TIME ZONE 'UTC'
        OR d.bucket >= (c.last_day + 1)::timestamp AT TIME ZONE 'UTC'
    WHERE c.name = calendar AND d.symbol = session_candles.symbol AND d.bucket >= start AND d.bucket < stop
        AND (start < c.first_day::timestamp AT TIME ZONE 'UTC'
            OR stop > (c.last_day + 1)::timestamp AT TIME ZONE 'UTC');
    -- Thousands of sessions from before the symbol's first tick would be looked into for nothing.
    IF start < stop - interval '4 years' THEN
        SELECT greatest(start, min(d.bucket) - interval '1 day'), least(stop, max(d.bucket) + interval '1 day')
        INTO start, stop
        FROM public.tick_candles_1d d WHERE d.symbol = session_candles.symbol HAVING count(*) > 0;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        SELECT s.session, s.open_at, s.close_at, c.open, c.high, c.low, c.close, c.volume, c.vwap, c.ticks,
            candleworks.is_closed(s.open_at, s.close_at, $5)
        FROM candleworks.sessions s
        CROSS JOIN LATERAL (
            SELECT
                (array_agg(b.open ORDER BY b.bucket))[1] AS open,
                max(b.high) AS high,
                min(b.low) AS low,
                (array_agg(b.close ORDER BY b.bucket))[count(*)] AS close,
                sum(b.volume) AS volume,
                sum(b.vwap * b.volume) / nullif(sum(b.volume), 0) AS vwap,
                sum(b.ticks)::bigint AS ticks
            FROM public.%I b
            WHERE b.symbol = $1 AND b.bucket >= s.open_at AND b.bucket < s.close_at
                AND NOT (s.break_start IS NOT NULL AND b.bucket >= s.break_start AND b.bucket < s.break_end)
            HAVING count(*) > 0
        ) c
        WHERE s.calendar = $2 AND s.open_at >= $3 AND s.open_at < $4
        ORDER BY s.open_at
    $sql$, 'candles_' || candleworks.level_for_sessions(calendar, start, stop))
    USING symbol, calendar, start, stop, unsettled;
END $$;
COMMENT ON FUNCTION public.session_candles IS
    'The regular-hours candle of each session that opens in ["from", "to") and has ticks, oldest first; null means no'
    ' bound. A tick belongs to a session from its open up to, not including, its close; ticks during a break belong'
    ' to none. volume and vwap are null where no tick has a volume. closed: the session is over and no tick of it is missing.';
SELECT candleworks.set_up_reader();
