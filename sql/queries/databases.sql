-- name: database_identity
-- The system identifier is the server's own, from wherever it is reached.
SELECT system_identifier::text || '/' || current_database() FROM pg_control_system()

-- name: prefect_database_state
-- The name of Prefect's database, whether it exists, and whether it can be used: a role that may neither find nor make it
-- has no use for it, and Prefect's tables need pg_trgm.
SELECT n.name, d.datname IS NOT NULL,
    EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')
    AND CASE
        WHEN d.datname IS NOT NULL THEN pg_get_userbyid(d.datdba) = current_user OR r.rolsuper
        ELSE r.rolcreatedb OR r.rolsuper
    END
FROM (SELECT current_database() || %(suffix)s AS name) n
JOIN pg_roles r ON r.rolname = current_user
LEFT JOIN pg_database d ON d.datname = n.name

-- name: existing_schemas
SELECT nspname FROM pg_namespace WHERE nspname = ANY(%(names)s) ORDER BY nspname
