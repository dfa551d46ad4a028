-- The parts of stored relations without the planner's guess of their rows.
-- Locks: none, the function is private to the dashboards.

DROP FUNCTION dashboards.parts();
-- The parts of every stored relation: partitions, or the whole of what has no parts. starts_at and ends_at bound the times
-- in a part; bytes are with indexes; nothing is compressed, so that bytes_before is null.
CREATE FUNCTION dashboards.parts() RETURNS TABLE (
    relation text, starts_at timestamptz, ends_at timestamptz, bytes bigint, bytes_before bigint
)
LANGUAGE sql STABLE AS $$
    SELECT r.relation, w.week, w.week + interval '168 hours', pg_total_relation_size(c.oid), NULL::bigint
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
SELECT candleworks.set_up_reader();
