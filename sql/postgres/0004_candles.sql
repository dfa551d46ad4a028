-- Candles without TimescaleDB. Each level is a table that a refresh fills from the level below, and a public view that
-- replaces what is out of date by what the ticks say at this moment. docs/decisions/0006 tells why it is exact.
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

-- Minutes whose ticks changed since the last refresh. Append-only and without a unique key on purpose: a transaction
-- always leaves its own row, so a refresh that runs at the same time can never delete the note of a tick it did not see.
CREATE TABLE candleworks.candle_invalidations (
    symbol text NOT NULL,
    bucket timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX candle_invalidations_symbol_bucket ON candleworks.candle_invalidations (symbol, bucket);

CREATE FUNCTION candleworks.invalidate_candles() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO candleworks.candle_invalidations (symbol, bucket)
        SELECT DISTINCT symbol, date_trunc('minute', time) FROM changed;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO candleworks.candle_invalidations (symbol, bucket)
        SELECT DISTINCT symbol, date_trunc('minute', time) FROM replaced;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER invalidate_on_insert AFTER INSERT ON public.stocks_real_time
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION candleworks.invalidate_candles();
CREATE TRIGGER invalidate_on_update AFTER UPDATE ON public.stocks_real_time
    REFERENCING OLD TABLE AS replaced NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.invalidate_candles();
CREATE TRIGGER invalidate_on_delete AFTER DELETE ON public.stocks_real_time
    REFERENCING OLD TABLE AS replaced FOR EACH STATEMENT EXECUTE FUNCTION candleworks.invalidate_candles();

-- One stored table per level. Half-empty pages let the forming candle be rewritten in place (HOT).
DO $$
DECLARE
    level text;
BEGIN
    FOR level IN SELECT name FROM candleworks.candle_levels LOOP
        EXECUTE format('CREATE TABLE candleworks.%I (
            bucket timestamptz NOT NULL,
            symbol text NOT NULL,
            open double precision NOT NULL,
            high double precision NOT NULL,
            low double precision NOT NULL,
            close double precision NOT NULL,
            volume double precision,
            vwap double precision,
            day_volume double precision,
            ticks bigint NOT NULL,
            rebuilt boolean NOT NULL,
            PRIMARY KEY (symbol, bucket)
        ) WITH (fillfactor = 80)', 'stored_' || level);
    END LOOP;
END $$;

-- The candle of one symbol's ticks in [start, stop); no row when there are none.
CREATE FUNCTION candleworks.candle_of_ticks(wanted text, start timestamptz, stop timestamptz)
RETURNS TABLE (
    open double precision, high double precision, low double precision, close double precision,
    volume double precision, vwap double precision, day_volume double precision, ticks bigint, rebuilt boolean
)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        (array_agg(t.price ORDER BY t.time))[1],
        max(t.price),
        min(t.price),
        (array_agg(t.price ORDER BY t.time))[count(*)],
        sum(t.volume),
        sum(t.price * t.volume) / nullif(sum(t.volume), 0),
        (array_agg(t.day_volume ORDER BY t.time) FILTER (WHERE t.day_volume IS NOT NULL))[count(t.day_volume)],
        count(*),
        bool_or(t.origin = 'bar')
    FROM public.stocks_real_time t
    WHERE t.symbol = wanted AND t.time >= start AND t.time < stop
    HAVING count(*) > 0
$$;

CREATE VIEW public.candles_1m AS
SELECT bucket, symbol, open, high, low, close, volume, vwap, day_volume, ticks, rebuilt
FROM candleworks.stored_1m s
WHERE NOT EXISTS (
    SELECT FROM candleworks.candle_invalidations i WHERE i.symbol = s.symbol AND i.bucket = s.bucket
)
UNION ALL
SELECT i.bucket, i.symbol, c.open, c.high, c.low, c.close, c.volume, c.vwap, c.day_volume, c.ticks, c.rebuilt
FROM (SELECT DISTINCT symbol, bucket FROM candleworks.candle_invalidations) i
CROSS JOIN LATERAL candleworks.candle_of_ticks(i.symbol, i.bucket, i.bucket + interval '1 minute') c;

-- Every level above works the same on the level below. Two functions per level give the candle of its candles in
-- [start, stop): candle_of_LEVEL reads the view (exact at any moment), stored_candle_of_LEVEL the table (the refresh,
-- which goes from the bottom up, needs no more).
DO $$
DECLARE
    level record;
BEGIN
    FOR level IN
        SELECT upper.name, upper.width, upper.below, f.prefix, f.relation
        FROM candleworks.candle_levels upper
        CROSS JOIN LATERAL (VALUES
            (1, 'stored_candle_of_', format('candleworks.%I', 'stored_' || upper.below)),
            (2, 'candle_of_', format('public.%I', 'candles_' || upper.below))
        ) f(nth, prefix, relation)
        WHERE upper.below IS NOT NULL ORDER BY upper.width, f.nth
    LOOP
        EXECUTE format($function$
            CREATE FUNCTION candleworks.%1$I(wanted text, start timestamptz, stop timestamptz)
            RETURNS TABLE (
                open double precision, high double precision, low double precision, close double precision,
                volume double precision, vwap double precision, day_volume double precision,
                ticks bigint, rebuilt boolean
            )
            LANGUAGE sql STABLE PARALLEL SAFE AS $body$
                SELECT
                    (array_agg(b.open ORDER BY b.bucket))[1],
                    max(b.high),
                    min(b.low),
                    (array_agg(b.close ORDER BY b.bucket))[count(*)],
                    sum(b.volume),
                    sum(b.vwap * b.volume) / nullif(sum(b.volume), 0),
                    (array_agg(b.day_volume ORDER BY b.bucket) FILTER (WHERE b.day_volume IS NOT NULL))
                        [count(b.day_volume)],
                    sum(b.ticks)::bigint,
                    bool_or(b.rebuilt)
                FROM %2$s b
                WHERE b.symbol = wanted AND b.bucket >= start AND b.bucket < stop
                HAVING count(*) > 0
            $body$
        $function$, level.prefix || level.below, level.relation);
        CONTINUE WHEN level.prefix = 'stored_candle_of_';
        EXECUTE format($view$
            CREATE VIEW public.%1$I AS
            SELECT bucket, symbol, open, high, low, close, volume, vwap, day_volume, ticks, rebuilt
            FROM candleworks.%2$I s
            WHERE NOT EXISTS (
                SELECT FROM candleworks.candle_invalidations i
                WHERE i.symbol = s.symbol AND public.time_bucket(%4$L, i.bucket) = s.bucket
            )
            UNION ALL
            SELECT i.bucket, i.symbol, c.open, c.high, c.low, c.close, c.volume, c.vwap, c.day_volume, c.ticks, c.rebuilt
            FROM (
                SELECT DISTINCT symbol, public.time_bucket(%4$L, bucket) AS bucket
                FROM candleworks.candle_invalidations
            ) i
            CROSS JOIN LATERAL candleworks.%3$I(i.symbol, i.bucket, i.bucket + %4$L::interval) c
        $view$, 'candles_' || level.name, 'stored_' || level.name, 'candle_of_' || level.below, level.width);
    END LOOP;
END $$;
