-- What every role of a PostgreSQL server may do, and the role of the dashboards shall not: take locks by which feeds and
-- refreshes would wait for ever, and store large objects or temporary tables. docs/explanation/security.md tells why.
-- docker/databases.sh runs this file with psql.

-- name: restrict_reader
-- Takes these rights from PUBLIC and gives them to every other role that exists; harmless to repeat. Only a superuser may, so
-- that nothing happens for others.
DO $$
DECLARE
    closed text := (
        SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
            AND (p.proname ~ '^pg_(try_)?advisory_' OR p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea'))
    );
    others text := (
        SELECT string_agg(quote_ident(r.rolname), ', ') FROM pg_roles r
        WHERE r.rolname NOT IN ('candleworks_reader') AND r.rolname !~ '^pg_' AND NOT r.rolsuper
            AND NOT EXISTS (
                SELECT FROM pg_roles d WHERE d.rolname = 'candleworks_reader' AND pg_has_role(d.oid, r.oid, 'MEMBER')
            )
    );
    receivers text := concat_ws(', ', 'pg_database_owner', others);
BEGIN
    IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', closed, receivers);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', closed);
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %s', current_database(), receivers);
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
