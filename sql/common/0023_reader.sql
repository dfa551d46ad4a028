-- The role that dashboards read with: it reads the public relations and what the dashboards need, and nothing else. It
-- belongs to the whole server, so that it is made on request and not by a migration:
-- docs/decisions/0017-reader-on-request.md. docs/how-to/grafana.md says how it gets its password, which is in no file here.
-- Locks: none, everything is new.

-- What readers may read. A migration that adds a public relation adds its name here and calls
-- candleworks.set_up_reader() again.
CREATE TABLE candleworks.readable (
    relation text PRIMARY KEY
);
INSERT INTO candleworks.readable (relation)
SELECT r.relation FROM candleworks.candle_relations r
UNION ALL SELECT unnest(ARRAY[
    'stocks_real_time', 'quotes', 'company', 'one_min_candle', 'one_hour_candle', 'one_day_candle', 'feed_gaps',
    'gap_fills', 'feed_symbols', 'feed_stops', 'rejected_ticks', 'ingest_stats', 'import_files', 'candle_differences',
    'quality_results', 'alerts', 'alert_events', 'alert_deliveries', 'candleworks_migrations'
]);

-- The same, for the dashboard about its size.
CREATE VIEW dashboards.readable AS
SELECT r.relation FROM candleworks.readable r;

-- Gives the role candleworks_reader, where there is one, its rights in this database; harmless to repeat.
CREATE FUNCTION candleworks.set_up_reader() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    readable text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'candleworks_reader') THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO candleworks_reader', current_database());
        GRANT USAGE ON SCHEMA public TO candleworks_reader;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL; -- everybody may do that, unless the owner of the database has forbidden it
    END;
    FOR readable IN
        SELECT format('public.%I', r.relation) FROM candleworks.readable r
        WHERE to_regclass(format('public.%I', r.relation)) IS NOT NULL
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO candleworks_reader', readable);
    END LOOP;
    GRANT USAGE ON SCHEMA candleworks, dashboards TO candleworks_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA dashboards TO candleworks_reader;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dashboards TO candleworks_reader;
END $$;

-- Makes the role if need be and gives it its rights in this database; harmless to repeat. Returns null, or one sentence
-- that says why there is no such role and what to do.
-- Two databases may make it at the same time; what it is set to is written by the one that made it. random_page_cost and
-- jit are what the panels were measured with.
CREATE FUNCTION candleworks.make_reader() RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'candleworks_reader') THEN
        BEGIN
            CREATE ROLE candleworks_reader LOGIN CONNECTION LIMIT 20;
            ALTER ROLE candleworks_reader SET default_transaction_read_only = on;
            ALTER ROLE candleworks_reader SET statement_timeout = '15s';
            ALTER ROLE candleworks_reader SET idle_in_transaction_session_timeout = '60s';
            ALTER ROLE candleworks_reader SET timezone = 'UTC';
            ALTER ROLE candleworks_reader SET random_page_cost = 1.1;
            ALTER ROLE candleworks_reader SET jit = off;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RETURN format(
                    'The role candleworks_reader for dashboards was not made, because %s may not create roles: let an'
                    ' administrator run CREATE ROLE candleworks_reader LOGIN, then run candleworks reader.', current_user);
            WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this server was faster
        END;
    END IF;
    PERFORM candleworks.set_up_reader();
    RETURN NULL;
END $$;
