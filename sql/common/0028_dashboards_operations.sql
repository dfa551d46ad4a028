-- What the dashboards of the feeds and of storage ask. Quality is asked of the public tables.
-- Locks: none, everything is new.

-- The names of the candle relations are no secret.
GRANT SELECT ON candleworks.candle_relations, candleworks.candle_families TO PUBLIC;

-- The names of the feeds, one index probe each.
CREATE VIEW dashboards.feeds AS
WITH RECURSIVE heard AS (
    SELECT min(i.feed) AS feed FROM public.ingest_stats i
    UNION ALL
    SELECT (SELECT min(i.feed) FROM public.ingest_stats i WHERE i.feed > h.feed) FROM heard h WHERE h.feed IS NOT NULL
)
SELECT h.feed FROM heard h WHERE h.feed IS NOT NULL
UNION
SELECT s.feed FROM public.feed_symbols s;

-- The symbols that a feed is asked for, and how long each has been silent while its market was open. age_seconds is the
-- age of the newest tick; silent_seconds counts from the newest tick, from the start of the present session or from when
-- the symbol was asked for, whichever is latest, and is null while the market is closed. Older ticks than seven days are
-- not looked for: without that bound every chunk is opened (200 ms instead of 60 for 50 symbols and 30 days). OFFSET 0
-- keeps what is used twice from being computed twice, and only the newest session that has begun can be open.
CREATE FUNCTION dashboards.silence(moment timestamptz) RETURNS TABLE (
    feed text, symbol text, status text, last_tick timestamptz, age_seconds double precision, in_session boolean,
    silent_seconds double precision
)
LANGUAGE sql STABLE AS $$
    SELECT f.feed, f.symbol, f.status, t.newest, extract(epoch FROM moment - t.newest)::double precision,
        s.open_since IS NOT NULL,
        extract(epoch FROM moment - greatest(t.newest, s.open_since, f.since))::double precision
            * CASE WHEN s.open_since IS NOT NULL THEN 1 END
    FROM public.feed_symbols f
    CROSS JOIN LATERAL (SELECT candleworks.calendar_of(f.symbol) AS calendar OFFSET 0) c
    CROSS JOIN LATERAL (
        SELECT greatest(
            (SELECT t.time FROM public.stocks_real_time t
             WHERE t.symbol = f.symbol AND t.time <= moment AND t.time > moment - interval '7 days'
             ORDER BY t.time DESC LIMIT 1),
            (SELECT q.time FROM public.quotes q
             WHERE q.symbol = f.symbol AND q.time <= moment AND q.time > moment - interval '7 days'
             ORDER BY q.time DESC LIMIT 1)
        ) AS newest
        OFFSET 0
    ) t
    LEFT JOIN LATERAL (
        SELECT '-infinity'::timestamptz AS open_since WHERE c.calendar = '24/7'
        UNION ALL
        SELECT CASE WHEN moment >= begun.break_end THEN begun.break_end ELSE begun.open_at END
        FROM (
            SELECT * FROM candleworks.sessions s
            WHERE s.calendar = c.calendar AND s.open_at <= moment ORDER BY s.open_at DESC LIMIT 1
        ) begun
        WHERE begun.close_at > moment
            AND NOT (begun.break_start IS NOT NULL AND moment >= begun.break_start AND moment < begun.break_end)
    ) s ON true
    WHERE f.status IN ('asked', 'streaming')
$$;

-- How far the stored candles of every level reach, up to which moment they should, and by how many seconds they are
-- behind: what ended before the newest tick is stored within seconds while somebody refreshes.
CREATE FUNCTION dashboards.watermarks() RETURNS TABLE (
    label text, width interval, stored_until timestamptz, due_until timestamptz, behind_seconds double precision
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    level record;
    newest timestamptz;
BEGIN
    FOR level IN
        SELECT r.label, r.width, r.relation, r.of_ticks, f.ticks, f.prefix
        FROM candleworks.candle_relations r JOIN candleworks.candle_families f ON f.name = r.family
        ORDER BY r.family DESC, r.width
    LOOP
        IF level.of_ticks THEN
            EXECUTE format($sql$
                SELECT max(t.time) FROM public.%1$I d
                CROSS JOIN LATERAL (
                    SELECT time FROM public.%2$I t WHERE t.symbol = d.symbol AND t.time >= d.bucket
                    ORDER BY t.time DESC LIMIT 1
                ) t
                WHERE d.bucket = (SELECT max(bucket) FROM public.%1$I)
            $sql$, level.prefix || 'candles_1d', level.ticks) INTO newest;
        END IF;
        CONTINUE WHEN newest IS NULL;
        label := level.label;
        width := level.width;
        stored_until := dashboards.stored_until(level.relation);
        due_until := public.time_bucket(level.width, newest);
        behind_seconds := coalesce(
            greatest(extract(epoch FROM due_until - stored_until), 0), extract(epoch FROM now() - due_until)
        );
        RETURN NEXT;
    END LOOP;
END $$;

-- Where the ticks of a table begin because older ones were dropped.
CREATE VIEW dashboards.retention AS
SELECT h.relation, h.dropped_before FROM candleworks.retention_horizons h;

-- What may be read, for those who look after its size.
CREATE VIEW dashboards.readable AS
SELECT r.relation FROM candleworks.readable r;

-- The parts of every stored relation: partitions, chunks, or the whole of what has no parts. starts_at and ends_at bound
-- the times in a part; bytes are with indexes, bytes_before what a compressed part took before.
-- dashboards.stored_until(): up to where the stored candles of a relation reach; null when there are none.
DO $engines$
BEGIN
    IF to_regclass('candleworks.candle_invalidations') IS NULL THEN
        CREATE FUNCTION dashboards.stored_until(relation text) RETURNS timestamptz
        LANGUAGE sql STABLE AS $$
            SELECT CASE WHEN w.watermark > -210866803200000000 THEN _timescaledb_functions.to_timestamp(w.watermark) END
            FROM _timescaledb_catalog.continuous_agg c
            JOIN _timescaledb_catalog.continuous_aggs_watermark w USING (mat_hypertable_id)
            WHERE c.user_view_schema = 'public' AND c.user_view_name = stored_until.relation
        $$;

        CREATE FUNCTION dashboards.parts() RETURNS TABLE (
            relation text, starts_at timestamptz, ends_at timestamptz, bytes bigint, bytes_before bigint, rows bigint
        )
        LANGUAGE sql STABLE AS $$
            SELECT h.relation, c.range_start, c.range_end, d.total_bytes, z.before_compression_total_bytes,
                greatest(k.reltuples, 0)::bigint
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
            JOIN pg_class k ON k.oid = format('%I.%I', d.chunk_schema, d.chunk_name)::regclass
            WHERE h.relation IN (SELECT r.relation FROM dashboards.readable r)
            UNION ALL
            SELECT r.relation, NULL, NULL, pg_total_relation_size(c.oid), NULL, greatest(c.reltuples, 0)::bigint
            FROM dashboards.readable r
            JOIN pg_class c ON c.oid = to_regclass('public.' || quote_ident(r.relation)) AND c.relkind = 'r'
            WHERE NOT EXISTS (
                SELECT FROM timescaledb_information.hypertables t
                WHERE t.hypertable_schema = 'public' AND t.hypertable_name = r.relation
            )
        $$;
    ELSE
        -- Acts for the owner, because the stored candles are private.
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
    END IF;
END $engines$;

-- Everything that is stored: its size, what compression made of its compressed parts, and what a day adds: the seven
-- newest parts that are over, by the length of time they hold.
CREATE FUNCTION dashboards.storage() RETURNS TABLE (
    relation text, bytes bigint, rows bigint, compressed_from bigint, compressed_to bigint, bytes_per_day double precision,
    oldest timestamptz
)
LANGUAGE sql STABLE AS $$
    SELECT p.relation, sum(p.bytes)::bigint, sum(p.rows)::bigint, sum(p.bytes_before)::bigint,
        sum(p.bytes) FILTER (WHERE p.bytes_before IS NOT NULL)::bigint,
        (
            sum(p.bytes) FILTER (WHERE p.recent <= 7) * 86400
            / nullif(extract(epoch FROM sum(p.ends_at - p.starts_at) FILTER (WHERE p.recent <= 7)), 0)
        )::double precision,
        min(p.starts_at)
    FROM (
        SELECT q.*, CASE WHEN q.ends_at <= now() THEN row_number() OVER (
            PARTITION BY q.relation, q.ends_at <= now() ORDER BY q.ends_at DESC
        ) END AS recent
        FROM dashboards.parts() q
    ) p
    GROUP BY p.relation
$$;
