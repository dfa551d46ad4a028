-- name: drop_ticks
SELECT candleworks.drop_ticks(%(relation)s, %(older_than)s)

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

-- name: forget_ingest_stats
DELETE FROM public.ingest_stats WHERE at < %(older_than)s

-- name: forget_quality_results
-- The newest result of each check and subject stays, however old it is: it is what is known.
DELETE FROM public.quality_results r WHERE r.at < %(older_than)s AND EXISTS (
    SELECT FROM public.quality_results newer
    WHERE newer."check" = r."check" AND newer.subject = r.subject AND newer.at > r.at
)

-- name: prepare_ahead
SELECT candleworks.prepare_ticks(now(), now() + interval '28 days'), candleworks.prepare_quotes(now(), now() + interval '28 days')
