-- What the dashboard of storage asks of plain PostgreSQL.
-- Locks: none, everything is new.

-- Up to where the stored candles of a relation reach; null when there are none. Acts for the owner, because the stored
-- candles are private.
CREATE FUNCTION dashboards.stored_until(relation text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    level candleworks.candle_relations;
    found timestamptz;
BEGIN
    SELECT * INTO STRICT level FROM candleworks.candle_relations r WHERE r.relation = stored_until.relation;
    EXECUTE format($sql$
        SELECT max(newest.bucket) + $1
        FROM (SELECT DISTINCT d.symbol FROM %2$s d WHERE d.bucket = (SELECT max(bucket) FROM %2$s)) s
        CROSS JOIN LATERAL (
            SELECT b.bucket FROM %1$s b WHERE b.symbol = s.symbol ORDER BY b.bucket DESC LIMIT 1
        ) newest
    $sql$, level.stored, regexp_replace(level.stored, '[^_]+$', '1d')) INTO found USING level.width;
    RETURN found;
END $$;

-- The parts of every stored relation: partitions, or the whole of what has no parts. starts_at and ends_at bound the times
-- in a part; bytes are with indexes; nothing is compressed, so that bytes_before is null.
CREATE FUNCTION dashboards.parts() RETURNS TABLE (
    relation text, starts_at timestamptz, ends_at timestamptz, bytes bigint, bytes_before bigint, rows bigint
)
LANGUAGE sql STABLE AS $$
    SELECT r.relation, w.week, w.week + interval '168 hours', pg_total_relation_size(c.oid), NULL::bigint,
        greatest(c.reltuples, 0)::bigint
    FROM (
        SELECT r.relation, to_regclass(coalesce(
            (SELECT l.stored FROM candleworks.candle_relations l WHERE l.relation = r.relation),
            'public.' || quote_ident(r.relation)
        )) AS stored
        FROM dashboards.readable r
    ) r
    CROSS JOIN LATERAL (
        SELECT r.stored::oid AS part UNION ALL
        SELECT t.relid FROM pg_partition_tree(r.stored) t WHERE t.level > 0
    ) t
    JOIN pg_class c ON c.oid = t.part AND c.relkind = 'r'
    CROSS JOIN LATERAL (
        SELECT CASE WHEN c.relispartition
            THEN to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' END AS week
    ) w
$$;
