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
-- Policies on our hypertables and continuous aggregates, which have none of our own: candleworks maintain does the work.
SELECT j.job_id, j.proc_name, coalesce(c.view_name, j.hypertable_name) AS relation
FROM timescaledb_information.jobs j
LEFT JOIN timescaledb_information.continuous_aggregates c
    ON j.hypertable_name IN (c.materialization_hypertable_name, c.view_name)
WHERE j.proc_name LIKE 'policy\_%%'
    AND coalesce(c.view_schema, j.hypertable_schema) = 'public'
    AND (coalesce(c.view_name, j.hypertable_name) = ANY(%(tables)s::text[])
        OR c.view_name ~ '^(quote_|tick_)?candles_')
ORDER BY j.job_id
