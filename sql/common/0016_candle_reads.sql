-- Candles of any period and price side, and candles without gaps: every bucket says whether it was traded and, if not, why.
-- Locks: none, everything is new.

-- The coarsest stored level whose candles fill buckets of `period` exactly.
CREATE FUNCTION candleworks.level_for(period interval) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    seconds double precision := extract(epoch FROM period);
BEGIN
    IF period IS NULL OR period <= interval '0' OR seconds::numeric % 60 <> 0 THEN
        RAISE EXCEPTION 'ohlc: the period is %, it must be a positive multiple of one minute.', period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF extract(year FROM period) * 12 + extract(month FROM period) > 0 AND period <> date_trunc('month', period) THEN
        RAISE EXCEPTION 'ohlc: the period is %, it must be either of whole months or without months.', period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN CASE
        WHEN extract(year FROM period) * 12 + extract(month FROM period) > 0 THEN '1d'
        WHEN seconds::bigint % 86400 = 0 THEN '1d'
        WHEN seconds::bigint % 14400 = 0 THEN '4h'
        WHEN seconds::bigint % 3600 = 0 THEN '1h'
        WHEN seconds::bigint % 900 = 0 THEN '15m'
        WHEN seconds::bigint % 300 = 0 THEN '5m'
        ELSE '1m'
    END;
END $$;

-- How a price side reads from the candles of its kind: the prefix of their relations' names, and its five prices and
-- volume in terms of their columns. Mid is half way between bid and ask of each of open, high, low and close; its volume
-- is that of both sides, null where neither had one.
CREATE FUNCTION candleworks.price_side(price text, OUT family text, OUT prefix text, OUT columns text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF price = 'trade' THEN
        SELECT 'trade', '', 'open, high, low, close, volume' INTO family, prefix, columns;
    ELSIF price IN ('bid', 'ask') THEN
        SELECT 'quote', 'quote_', format('%1$s_open, %1$s_high, %1$s_low, %1$s_close, %1$s_volume', price)
        INTO family, prefix, columns;
    ELSIF price = 'mid' THEN
        SELECT 'quote', 'quote_',
            '(bid_open + ask_open) / 2, (bid_high + ask_high) / 2, (bid_low + ask_low) / 2, (bid_close + ask_close) / 2,'
            ' coalesce(bid_volume + ask_volume, bid_volume, ask_volume)'
        INTO family, prefix, columns;
    ELSE
        RAISE EXCEPTION 'ohlc: the price side is %, it must be trade, bid, ask or mid.', quote_nullable(price)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- What ohlc() returns, and whether a tick of the candle was rebuilt from a bar. For quotes the stored bars say so,
-- because their candles have no such column.
CREATE FUNCTION candleworks.candles_of(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, rebuilt boolean
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    relation text := side.prefix || 'candles_' || candleworks.level_for(period);
    output text := concat('bucket, ', side.columns, ', ticks, ', CASE
        WHEN side.family = 'trade' THEN 'rebuilt'
        WHEN candleworks.has_quote_bars(symbol) THEN 'candleworks.quote_rebuilt($1, bucket, $2)'
        ELSE 'false'
    END);
    combined text;
BEGIN
    -- A stored level is read as it is: 2,000 candles in 5 ms instead of 16.
    IF extract(epoch FROM period) IN (60, 300, 900, 3600, 14400, 86400) THEN
        RETURN QUERY EXECUTE format($sql$
            SELECT %s
            FROM public.%I
            WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND bucket < $4
            ORDER BY bucket
        $sql$, output, relation)
        USING symbol, period, coalesce("from", '-infinity'), coalesce("to", 'infinity');
        RETURN;
    END IF;
    -- Columns that the output leaves out are not computed: the planner drops them from a subquery.
    SELECT string_agg(format('%s AS %I', c.of_candles, c.name), ', ') INTO combined
    FROM candleworks.candle_columns c WHERE c.family = side.family;
    RETURN QUERY EXECUTE format($sql$
        SELECT %s FROM (
            SELECT public.time_bucket($2, b.bucket) AS bucket, %s
            FROM public.%I b
            WHERE b.symbol = $1 AND b.bucket >= public.time_bucket($2, $3) AND public.time_bucket($2, b.bucket) < $4
                AND b.bucket < $4 + $2 + interval '1 day' -- redundant, but bounds the search
            GROUP BY 1
        ) candles
        ORDER BY bucket
    $sql$, output, combined, relation)
    USING symbol, period, coalesce("from", '-infinity'), coalesce("to", 'infinity');
END $$;

CREATE FUNCTION public.ohlc(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text DEFAULT 'trade'
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint
)
LANGUAGE sql STABLE AS $$
    SELECT c.bucket, c.open, c.high, c.low, c.close, c.volume, c.ticks
    FROM candleworks.candles_of(symbol, period, "from", "to", price) c
$$;
COMMENT ON FUNCTION public.ohlc IS
    'Candles of "period", a multiple of one minute, that overlap ["from", "to"), all of them whole, oldest first;'
    ' null means no bound. "price" is the side: trade, bid, ask or mid. volume is null where no tick of the candle'
    ' has one.';

-- The newest tick of a symbol on a price side before a moment, where its ticks are gone the newest minute; null when
-- there is none. An index finds the tick in 0.1 ms, while an ordered read of candles_1m would pass the symbol's whole
-- history, because its view has no order.
CREATE FUNCTION candleworks.newest_tick(wanted text, price text, before timestamptz DEFAULT 'infinity')
RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    found timestamptz;
    day timestamptz;
BEGIN
    IF side.family = 'trade' THEN
        SELECT t.time INTO found FROM public.stocks_real_time t
        WHERE t.symbol = wanted AND t.time < before ORDER BY t.time DESC LIMIT 1;
    ELSE
        SELECT t.time INTO found FROM public.quotes t
        WHERE t.symbol = wanted AND t.time < before ORDER BY t.time DESC LIMIT 1;
    END IF;
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    -- The day that `before` falls into may begin to trade after it.
    FOR day IN EXECUTE format(
        'SELECT d.bucket FROM public.%I d WHERE d.symbol = $1 AND d.bucket < $2 ORDER BY d.bucket DESC LIMIT 2',
        side.prefix || 'candles_1d'
    ) USING wanted, before LOOP
        EXECUTE format(
            'SELECT max(m.bucket) FROM public.%I m WHERE m.symbol = $1 AND m.bucket >= $2 AND m.bucket < $3',
            side.prefix || 'candles_1m'
        ) INTO found USING wanted, day, least(day + interval '24 hours', before);
        EXIT WHEN found IS NOT NULL;
    END LOOP;
    RETURN found;
END $$;

-- The close of the last candle before a moment on a minute's boundary, null when there is none. Reads at most one day
-- of minutes and the daily candles before it, so it costs the same where the symbol was silent for years.
CREATE FUNCTION candleworks.last_close_before(wanted text, moment timestamptz) RETURNS double precision
LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(
        (SELECT c.close FROM public.candles_1m c
         WHERE c.symbol = wanted AND c.bucket >= public.time_bucket('1 day', moment) AND c.bucket < moment
         ORDER BY c.bucket DESC LIMIT 1),
        (SELECT c.close FROM public.candles_1d c
         WHERE c.symbol = wanted AND c.bucket < public.time_bucket('1 day', moment)
         ORDER BY c.bucket DESC LIMIT 1)
    )
$$;

-- How many buckets a call asks for; refuses more than 100,000, and periods that are no multiple of a minute.
CREATE FUNCTION candleworks.count_buckets(period interval, start timestamptz, stop timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    buckets numeric := CASE WHEN candleworks.level_for(period) IS NOT NULL THEN ceil(
        (extract(epoch FROM stop) - extract(epoch FROM start)) / extract(epoch FROM period)
    ) END;
BEGIN
    IF buckets > 100000 THEN
        RAISE EXCEPTION 'candles_filled: the range holds % buckets of %, at most 100000 are returned: ask for a shorter range or a longer period.',
            buckets, period USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN buckets;
END $$;

CREATE FUNCTION public.candles_filled(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, carry boolean DEFAULT false
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, status text
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    stop timestamptz := least("to", now() + interval '1 microsecond');
    start timestamptz;
    calendar text := candleworks.calendar_of(symbol);
    open_times tstzmultirange;
    down_times tstzmultirange;
    before double precision;
BEGIN
    IF candleworks.count_buckets(period, coalesce("from", '-infinity'), stop) <= 0 THEN
        RETURN;
    END IF;
    start := public.time_bucket(period, "from");
    PERFORM candleworks.require_sessions(calendar, start), candleworks.require_sessions(calendar, stop);
    open_times := candleworks.open_times(calendar, start, stop + period);
    down_times := candleworks.down_times(symbol, start, stop + period);
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
        END
    FROM carried
    ORDER BY bucket;
END $$;
COMMENT ON FUNCTION public.candles_filled IS
    'Every bucket of "period" that overlaps ["from", "to") and has begun, all of them whole, oldest first; a "to" of'
    ' null means now. status: traded (has ticks), down (an unfilled gap of the feed touches it), closed (no part of'
    ' it lies in a session), quiet. Without ticks, volume and ticks are 0, and the prices null or, with "carry", the'
    ' last close before.';
