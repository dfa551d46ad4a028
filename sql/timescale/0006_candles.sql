-- Candles as continuous aggregates, each level on the one below. Real-time: what is not materialised yet is computed from
-- the level below when it is read. Created empty; the refresh fills them.
-- Locks: none, everything is new.

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

SELECT candleworks.create_candles('trade'), candleworks.create_candles('quote');
