-- Candles as continuous aggregates, each level on the one below. Real-time: what is not materialised yet is computed from
-- the level below when it is read. Created empty; the refresh fills them.
-- Locks: none, everything is new.
CREATE TABLE candleworks.candle_levels (
    name text PRIMARY KEY,
    width interval NOT NULL UNIQUE,
    below text REFERENCES candleworks.candle_levels
);
INSERT INTO candleworks.candle_levels (name, width, below) VALUES
    ('1m', '1 minute', NULL),
    ('5m', '5 minutes', '1m'),
    ('15m', '15 minutes', '5m'),
    ('1h', '1 hour', '15m'),
    ('4h', '4 hours', '1h'),
    ('1d', '1 day', '4h');

CREATE MATERIALIZED VIEW public.candles_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket('1 minute', time) AS bucket,
    symbol,
    public.first(price, time) AS open,
    max(price) AS high,
    min(price) AS low,
    public.last(price, time) AS close,
    sum(volume) AS volume,
    sum(price * volume) / nullif(sum(volume), 0) AS vwap,
    public.last(day_volume, time) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
    count(*) AS ticks,
    bool_or(origin = 'bar') AS rebuilt
FROM public.stocks_real_time
GROUP BY 1, 2
WITH NO DATA;

DO $$
DECLARE
    level record;
BEGIN
    FOR level IN SELECT * FROM candleworks.candle_levels WHERE below IS NOT NULL ORDER BY width LOOP
        EXECUTE format($view$
            CREATE MATERIALIZED VIEW public.%1$I
            WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
            SELECT
                public.time_bucket(%2$L, bucket) AS bucket,
                symbol,
                public.first(open, bucket) AS open,
                max(high) AS high,
                min(low) AS low,
                public.last(close, bucket) AS close,
                sum(volume) AS volume,
                sum(vwap * volume) / nullif(sum(volume), 0) AS vwap,
                public.last(day_volume, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
                sum(ticks)::bigint AS ticks,
                bool_or(rebuilt) AS rebuilt
            FROM public.%3$I
            GROUP BY 1, 2
            WITH NO DATA
        $view$, 'candles_' || level.name, level.width, 'candles_' || level.below);
    END LOOP;
END $$;
