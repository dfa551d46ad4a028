-- The parts of stored relations without the planner's guess of their rows.
-- Locks: none, the function is private to the dashboards.

DROP FUNCTION dashboards.parts();
-- The parts of every stored relation: chunks, or the whole of what has no parts. starts_at and ends_at bound the times in a
-- part; bytes are with indexes, bytes_before what a compressed part took before.
CREATE FUNCTION dashboards.parts() RETURNS TABLE (
    relation text, starts_at timestamptz, ends_at timestamptz, bytes bigint, bytes_before bigint
)
LANGUAGE sql STABLE AS $$
    SELECT h.relation, c.range_start, c.range_end, d.total_bytes, z.before_compression_total_bytes
    FROM (
        SELECT t.hypertable_name::text AS relation,
            format('%I.%I', t.hypertable_schema, t.hypertable_name)::regclass AS hypertable
        FROM timescaledb_information.hypertables t WHERE t.hypertable_schema = 'public'
        UNION ALL
        SELECT a.view_name,
            format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name)::regclass
        FROM timescaledb_information.continuous_aggregates a WHERE a.view_schema = 'public'
    ) h
    CROSS JOIN LATERAL public.chunks_detailed_size(h.hypertable) d
    LEFT JOIN LATERAL public.chunk_columnstore_stats(h.hypertable) z
        ON z.chunk_schema = d.chunk_schema AND z.chunk_name = d.chunk_name
    JOIN timescaledb_information.chunks c ON c.chunk_schema = d.chunk_schema AND c.chunk_name = d.chunk_name
    WHERE h.relation IN (SELECT r.relation FROM dashboards.readable r)
    UNION ALL
    SELECT r.relation, NULL, NULL, pg_total_relation_size(c.oid), NULL
    FROM dashboards.readable r
    JOIN pg_class c ON c.oid = to_regclass('public.' || quote_ident(r.relation)) AND c.relkind = 'r'
    WHERE NOT EXISTS (
        SELECT FROM timescaledb_information.hypertables t
        WHERE t.hypertable_schema = 'public' AND t.hypertable_name = r.relation
    )
$$;
SELECT candleworks.set_up_reader();
