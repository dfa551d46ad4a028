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
    ('1d', '24 hours', '4h');

-- The kinds of candles, by the table of their ticks; `prefix` stands before the names of their relations.
CREATE TABLE candleworks.candle_families (
    name text PRIMARY KEY,
    prefix text NOT NULL UNIQUE,
    ticks text NOT NULL
);

-- What a candle has besides bucket and symbol, and how it follows from the ticks t and from the candles b of the level
-- below.
CREATE TABLE candleworks.candle_columns (
    family text NOT NULL REFERENCES candleworks.candle_families,
    position integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    of_ticks text NOT NULL,
    of_candles text NOT NULL,
    PRIMARY KEY (family, name)
);

-- Every relation of candles: where it reads, and what it is called in reports ('1m', 'quote 1m').
CREATE VIEW candleworks.candle_relations AS
SELECT
    f.name AS family,
    replace(f.prefix, '_', ' ') || l.name AS label,
    l.width,
    f.prefix || 'candles_' || l.name AS relation,
    'public.' || coalesce(f.prefix || 'candles_' || l.below, f.ticks) AS source,
    l.below IS NULL AS of_ticks
FROM candleworks.candle_families f CROSS JOIN candleworks.candle_levels l;

-- Makes all candles of one family, whose columns are listed. Chunks hold as many buckets at every level: ten days of
-- minutes, 39 years of days. By default all levels would have chunks of ten days, and a year of days be spread over 37.
CREATE FUNCTION candleworks.create_candles(family text) RETURNS void
LANGUAGE plpgsql AS $create$
DECLARE
    level candleworks.candle_relations;
    columns text;
BEGIN
    FOR level IN SELECT * FROM candleworks.candle_relations r WHERE r.family = $1 ORDER BY r.width LOOP
        SELECT string_agg(
            format('%s AS %I', CASE WHEN level.of_ticks THEN c.of_ticks ELSE c.of_candles END, c.name), ', '
            ORDER BY c.position
        ) INTO columns FROM candleworks.candle_columns c WHERE c.family = $1;
        EXECUTE format($sql$
            CREATE MATERIALIZED VIEW public.%1$I
            WITH (
                timescaledb.continuous, timescaledb.materialized_only = false,
                timescaledb.chunk_interval = %7$L
            ) AS
            SELECT public.time_bucket(%2$L, %3$s) AS bucket, symbol, %4$s
            FROM %5$s %6$s
            GROUP BY 1, 2
            WITH NO DATA
        $sql$, level.relation, level.width, CASE WHEN level.of_ticks THEN 't.time' ELSE 'b.bucket' END, columns,
            level.source, CASE WHEN level.of_ticks THEN 't' ELSE 'b' END, level.width * 14400);
    END LOOP;
END $create$;

INSERT INTO candleworks.candle_families (name, prefix, ticks) VALUES ('trade', '', 'stocks_real_time');
INSERT INTO candleworks.candle_columns (family, name, of_ticks, of_candles) VALUES
    ('trade', 'open', 'public.first(t.price, t.time)', 'public.first(b.open, b.bucket)'),
    ('trade', 'high', 'max(t.price)', 'max(b.high)'),
    ('trade', 'low', 'min(t.price)', 'min(b.low)'),
    ('trade', 'close', 'public.last(t.price, t.time)', 'public.last(b.close, b.bucket)'),
    ('trade', 'volume', 'sum(t.volume)', 'sum(b.volume)'),
    ('trade', 'vwap',
        'sum(t.price * t.volume) / nullif(sum(t.volume), 0)', 'sum(b.vwap * b.volume) / nullif(sum(b.volume), 0)'),
    ('trade', 'day_volume',
        'public.last(t.day_volume, t.time) FILTER (WHERE t.day_volume IS NOT NULL)',
        'public.last(b.day_volume, b.bucket) FILTER (WHERE b.day_volume IS NOT NULL)'),
    ('trade', 'ticks', 'count(*)', 'sum(b.ticks)::bigint'),
    ('trade', 'rebuilt', 'bool_or(t.origin = ''bar'')', 'bool_or(b.rebuilt)');
SELECT candleworks.create_candles('trade');
