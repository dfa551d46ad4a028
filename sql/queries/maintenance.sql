-- name: drop_ticks
-- TimescaleDB.
SELECT candleworks.drop_ticks(%(relation)s, %(older_than)s)

-- name: old_partitions
-- Plain PostgreSQL, like the next four: partitions of ticks that end before a time, the oldest first. One whose detach was
-- interrupted comes before all others, because a table has at most one of these.
SELECT partition, stop, state FROM candleworks.tick_partitions
WHERE relation = %(relation)s AND stop <= %(older_than)s
ORDER BY state <> 'detaching', stop

-- name: close_partition
SELECT candleworks.close_partition(%(relation)s, %(partition)s, %(stop)s)

-- name: detach_partition
ALTER TABLE {table} DETACH PARTITION {partition} CONCURRENTLY

-- name: finalize_detach
ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE

-- name: drop_partition
DROP TABLE {partition}

-- name: chunks_to_compress
-- TimescaleDB: chunks older than a moment that are not compressed, or got rows since they were (bits 2 and 8 of the status:
-- unordered, partial).
SELECT format('%%I.%%I', c.chunk_schema, c.chunk_name)
FROM timescaledb_information.chunks c
LEFT JOIN timescaledb_information.continuous_aggregates a
    ON a.materialization_hypertable_schema = c.hypertable_schema
    AND a.materialization_hypertable_name = c.hypertable_name
WHERE coalesce(a.view_schema, c.hypertable_schema) = 'public'
    AND coalesce(a.view_name, c.hypertable_name) = %(relation)s
    AND c.range_end <= %(older_than)s
    AND (
        NOT c.is_compressed OR _timescaledb_functions.chunk_status(
            format('%%I.%%I', c.chunk_schema, c.chunk_name)::regclass
        ) & 10 <> 0
    )
ORDER BY c.range_start

-- name: compress_chunk
CALL public.convert_to_columnstore(%(chunk)s::regclass, if_not_columnstore => true)

-- name: forget_rejected_ticks
DELETE FROM public.rejected_ticks WHERE received_at < %(older_than)s

-- name: forget_alerts
-- With their events and deliveries. Unresolved alerts stay, and so do those whose silence is not over: it outlives them.
DELETE FROM public.alerts
WHERE resolved_at < %(older_than)s AND (silenced_until IS NULL OR silenced_until < %(older_than)s)

-- name: forget_feed_gaps
-- With what became of filling them. Open gaps stay.
DELETE FROM public.feed_gaps WHERE started_at < %(older_than)s AND ended_at < %(older_than)s

-- name: forget_import_runs
-- What undoing an import takes: its runs, and the bars that it replaced. An import cannot be undone any more once retention
-- has dropped ticks of its time.
WITH permanent AS (
    SELECT r.sha256 FROM candleworks.import_runs r GROUP BY r.sha256
    HAVING min(r.first) < (SELECT max(h.dropped_before) FROM candleworks.retention_horizons h)
), bars AS (
    DELETE FROM candleworks.replaced_bars b USING permanent e WHERE b.sha256 = e.sha256
)
DELETE FROM candleworks.import_runs r USING permanent e WHERE r.sha256 = e.sha256

-- name: forget_ingest_stats
DELETE FROM public.ingest_stats WHERE at < %(older_than)s

-- name: forget_quality_results
-- The newest result of each check and subject stays, however old it is: it is what is known.
DELETE FROM public.quality_results r WHERE r.at < %(older_than)s AND EXISTS (
    SELECT FROM public.quality_results newer
    WHERE newer."check" = r."check" AND newer.subject = r.subject AND newer.at > r.at
)

-- name: prepare_partitions
-- Partitions for ticks of a table from a time until a quarter of a year from now.
SELECT candleworks.prepare_partitions(%(relation)s, %(start)s, now() + interval '91 days')
