-- Asks all levels at once how far they are stored.
-- Locks: none, everything is new.

-- Up to where the stored candles of every relation reach; null when there are none: by the symbols of the newest day. Acts for
-- the owner, because the stored candles are private. A statement without EXECUTE is planned once in each connection.
DO $do$ BEGIN
    EXECUTE format($function$
        CREATE FUNCTION dashboards.stored_levels() RETURNS TABLE (relation text, stored_until timestamptz)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            RETURN QUERY %s;
        END $$
    $function$, (
        SELECT string_agg(format($sql$
            SELECT %1$L, (
                SELECT max(newest.bucket) + %2$L::interval
                FROM (SELECT DISTINCT d.symbol FROM %3$s d WHERE d.bucket = (SELECT max(bucket) FROM %3$s)) s
                CROSS JOIN LATERAL (
                    SELECT b.bucket FROM %4$s b WHERE b.symbol = s.symbol ORDER BY b.bucket DESC LIMIT 1
                ) newest
            )$sql$, r.relation, r.width, regexp_replace(r.stored, '[^_]+$', '1d'), r.stored), ' UNION ALL ')
        FROM candleworks.candle_relations r
    ));
END $do$;
