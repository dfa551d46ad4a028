-- name: database_identity
-- The system identifier is the server's own, from wherever it is reached.
SELECT system_identifier::text || '/' || current_database() FROM pg_control_system()
