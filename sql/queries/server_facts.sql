-- What `doctor` asks the server about itself.

-- name: server_facts
-- The collation's version is null where the provider has none.
SELECT
    current_setting('server_version') AS version, current_user::text AS role,
    coalesce((SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user), false) AS is_superuser,
    clock_timestamp() AS now, current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes, current_setting('synchronous_commit') AS synchronous_commit,
    pg_encoding_to_char(d.encoding)::text AS encoding,
    d.datcollversion IS DISTINCT FROM pg_database_collation_actual_version(d.oid) AS collation_changed,
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer AS connections,
    (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend') AS connections_used,
    (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'timescaledb') AS timescaledb_version,
    (SELECT e.default_version FROM pg_available_extensions e WHERE e.name = 'timescaledb') AS timescaledb_available
FROM pg_database d WHERE d.datname = current_database()

-- name: foreign_jobs
-- Policies of TimescaleDB on our relations, none of which are ours.
SELECT job, procedure, relation FROM candleworks.foreign_policies()

-- name: foreign_drops
-- What others than `candleworks maintain` have dropped of each table of ticks: from when to when, and the number of parts.
SELECT t.relation, min(t.starts_at), max(t.stops_at), count(*)
FROM candleworks.tick_parts t WHERE t.dropped_at IS NOT NULL GROUP BY t.relation ORDER BY t.relation
