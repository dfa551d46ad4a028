-- Two more ways to read candles: the tutorial's views, and any period through ohlc().
-- Locks: none, everything is new.
CREATE VIEW public.one_min_candle AS
    SELECT bucket, symbol, open, high, low, close, day_volume FROM public.candles_1m;
CREATE VIEW public.one_hour_candle AS
    SELECT bucket, symbol, open, high, low, close, day_volume FROM public.candles_1h;
CREATE VIEW public.one_day_candle AS
    SELECT bucket, symbol, open, high, low, close, day_volume FROM public.candles_1d;

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

-- Candles of `period` that hold any moment of ["from", "to"), all of them whole, oldest first; null stands for no bound.
-- volume is null where no tick of the candle had one. `price` names the side: trade.
CREATE FUNCTION public.ohlc(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text DEFAULT 'trade'
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF price IS DISTINCT FROM 'trade' THEN
        RAISE EXCEPTION 'ohlc: the price side is %, it must be trade.', quote_nullable(price)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A stored level is read as it is: 2,000 candles in 5 ms instead of 16.
    IF extract(epoch FROM period) IN (60, 300, 900, 3600, 14400, 86400) THEN
        RETURN QUERY EXECUTE format($sql$
            SELECT bucket, open, high, low, close, volume, ticks
            FROM public.%I
            WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND bucket < $4
            ORDER BY bucket
        $sql$, 'candles_' || candleworks.level_for(period))
        USING symbol, period, coalesce("from", '-infinity'), coalesce("to", 'infinity');
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        SELECT
            public.time_bucket($2, bucket),
            (array_agg(open ORDER BY bucket))[1],
            max(high),
            min(low),
            (array_agg(close ORDER BY bucket))[count(*)],
            sum(volume),
            sum(ticks)::bigint
        FROM public.%I
        WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND public.time_bucket($2, bucket) < $4
            AND bucket < $4 + $2 + interval '1 day' -- says nothing new, but bounds the search
        GROUP BY 1 ORDER BY 1
    $sql$, 'candles_' || candleworks.level_for(period))
    USING symbol, period, coalesce("from", '-infinity'), coalesce("to", 'infinity');
END $$;
