-- Calls the start of a bucket `bucket` in ohlc() and candles_filled() as well, as the candles_* relations do.
-- Locks: the rows of the replaced functions, for a moment.
DROP FUNCTION public.candles_filled(text, interval, timestamptz, timestamptz, boolean);
DROP FUNCTION public.ohlc(text, interval, timestamptz, timestamptz, text);
DROP FUNCTION candleworks.candles_of(text, interval, timestamptz, timestamptz, text);

-- What ohlc() returns, and whether a tick of the candle was rebuilt from a vendor's bar (quotes never are).
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
    output text := concat('bucket, ', side.columns, ', ticks, ', CASE side.family WHEN 'trade' THEN 'rebuilt' ELSE 'false' END);
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

-- Candles of `period` that hold any moment of ["from", "to"), all of them whole, oldest first; null stands for no bound.
-- volume is null where no tick of the candle had one. `price` names the side: trade, bid, ask or mid.
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

-- Every bucket of `period` that holds any moment of ["from", "to") and has begun, all of them whole, oldest first; a "to"
-- of null stands for now.
-- status: traded (has ticks), down (an unfilled gap of the feed touches it), closed (no part of it lies in a session),
-- quiet. Where there are no ticks volume and ticks are 0, and the prices null, or with `carry` the last close before.
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
