-- name: candle_aggregates
-- Our aggregates, lower levels first: name, label, width, the ticks they go back to, whether they read these themselves.
SELECT r.relation, r.label, r.width, f.ticks, r.of_ticks
FROM candleworks.candle_relations r JOIN candleworks.candle_families f ON f.name = r.family
ORDER BY r.width, r.relation

-- name: aggregate_progress
-- Up to where an aggregate was refreshed (null: never), and the end of its last complete bucket at this moment.
-- TimescaleDB keeps the first as its invalidation threshold, in microseconds, with a number far below any date for never.
SELECT
    CASE WHEN t.watermark > -210866803200000000 THEN _timescaledb_functions.to_timestamp(t.watermark) END,
    public.time_bucket(%(width)s::interval, now() - %(grace)s::interval)
FROM _timescaledb_catalog.continuous_agg c
LEFT JOIN _timescaledb_catalog.continuous_aggs_invalidation_threshold t ON t.hypertable_id = c.raw_hypertable_id
WHERE c.user_view_schema = 'public' AND c.user_view_name = %(relation)s

-- name: ticks_spans
-- Where the chunks of ticks begin and end, oldest first. From the catalog, because the view of chunks takes time for every
-- chunk of the database.
SELECT _timescaledb_functions.to_timestamp(s.range_start), _timescaledb_functions.to_timestamp(s.range_end)
FROM _timescaledb_catalog.hypertable h
JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id
JOIN _timescaledb_catalog.dimension_slice s ON s.dimension_id = d.id
WHERE h.schema_name = 'public' AND h.table_name = %(ticks)s
ORDER BY s.range_start

-- name: aggregate_pending
-- The ranges of an aggregate that were changed since they were refreshed, whole buckets, oldest first; for one on ticks without
-- those whose ticks were dropped. Two logs: what
-- commits wrote, and what a refresh has moved on but not covered yet. Their entries that reach to infinity are no changes; what
-- begins with time itself is shortened to the year 1, with which Python begins.
WITH aggregate AS (
    SELECT c.mat_hypertable_id, c.raw_hypertable_id, t.watermark AS threshold
    FROM _timescaledb_catalog.continuous_agg c
    JOIN _timescaledb_catalog.continuous_aggs_invalidation_threshold t ON t.hypertable_id = c.raw_hypertable_id
    WHERE c.user_view_schema = 'public' AND c.user_view_name = %(relation)s
), entry AS (
    SELECT l.lowest_modified_value AS low, l.greatest_modified_value AS high, a.threshold
    FROM aggregate a JOIN _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log l
        ON l.hypertable_id = a.raw_hypertable_id
    UNION ALL
    SELECT l.lowest_modified_value, l.greatest_modified_value, a.threshold
    FROM aggregate a JOIN _timescaledb_catalog.continuous_aggs_materialization_invalidation_log l
        ON l.materialization_id = a.mat_hypertable_id
), bucket AS (
    SELECT
        public.time_bucket(
            %(width)s::interval, _timescaledb_functions.to_timestamp(greatest(low, -62135424000000000))
        ) AS start,
        public.time_bucket(
            %(width)s::interval, _timescaledb_functions.to_timestamp(least(high, threshold - 1))
        ) + %(width)s::interval AS stop
    FROM entry
    WHERE low < threshold AND high > -210866803200000000 AND threshold > -210866803200000000
)
SELECT lower(r), upper(r)
FROM (
    SELECT unnest(
        range_agg(tstzrange(start, stop)) - CASE WHEN %(on_ticks)s THEN candleworks.dropped_times(%(ticks)s) ELSE '{}' END
    ) AS r
    FROM bucket
) merged
ORDER BY 1

-- name: kept_ranges
-- What of a range of ticks was not dropped; a null start is the beginning of time.
SELECT lower(r), upper(r)
FROM unnest(
    tstzmultirange(tstzrange(%(start)s::timestamptz, %(stop)s::timestamptz)) - candleworks.dropped_times(%(ticks)s)
) r
ORDER BY 1 NULLS FIRST

-- name: count_candles
-- Those of a view, which stands for {candles}, in ranges of time.
SELECT coalesce(sum(c.count), 0)::bigint
FROM unnest(%(starts)s::timestamptz[], %(stops)s::timestamptz[]) r(start, stop)
CROSS JOIN LATERAL (SELECT count(*) AS count FROM {candles} c WHERE c.bucket >= r.start AND c.bucket < r.stop) c

-- name: refresh_aggregate
-- buckets_per_batch 0 refreshes the window at once; by default it is cut into batches of ten buckets, newest first.
CALL public.refresh_continuous_aggregate(
    %(relation)s::regclass, %(start)s::timestamptz, %(stop)s::timestamptz,
    force => %(force)s, options => '{"buckets_per_batch": 0}'
)

-- name: aggregate_watermark
-- The end of what is materialised; before the first refresh a moment older than any tick.
SELECT greatest(
    _timescaledb_functions.to_timestamp(w.watermark), timestamptz '1900-01-01 00:00:00+00'
)
FROM _timescaledb_catalog.continuous_agg c
JOIN _timescaledb_catalog.continuous_aggs_watermark w USING (mat_hypertable_id)
WHERE c.user_view_schema = 'public' AND c.user_view_name = %(relation)s
