-- name: refresh_candles
SELECT level, changed FROM candleworks.refresh_candles()

-- name: continuous_aggregates
-- TimescaleDB: our aggregates, lower levels first.
SELECT prefix || l.name AS relation
FROM candleworks.candle_levels l CROSS JOIN unnest(ARRAY['candles_', 'quote_candles_']) AS prefix
WHERE to_regclass('public.' || prefix || l.name) IS NOT NULL
ORDER BY l.width, prefix

-- name: aggregate_watermark
-- TimescaleDB: the end of what is materialised; before the first refresh a moment older than any tick.
SELECT greatest(
    _timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(h.id)), timestamptz '1900-01-01 00:00:00+00'
)
FROM timescaledb_information.continuous_aggregates a
JOIN _timescaledb_catalog.hypertable h ON h.table_name = a.materialization_hypertable_name
    AND h.schema_name = a.materialization_hypertable_schema
WHERE a.view_schema = 'public' AND a.view_name = %(relation)s
