-- What there is of ticks on plain PostgreSQL, for 0044_dropped_ticks: partitions by their bounds, whoever made them.
-- Locks: none, functions are new or replaced.

-- The partitions that queries read, and their bounds; a default one has none. One whose detach was begun is not read any more.
-- `used` is false where no tick was ever stored.
CREATE FUNCTION candleworks.attached_parts()
RETURNS TABLE (relation text, part regclass, starts_at timestamptz, stops_at timestamptz, used boolean)
LANGUAGE sql STABLE AS $$
    SELECT f.ticks, i.inhrelid::regclass,
        coalesce(CASE WHEN b.bound[1] <> 'MINVALUE' THEN trim(b.bound[1], '''')::timestamptz END, '-infinity'),
        coalesce(CASE WHEN b.bound[2] <> 'MAXVALUE' THEN trim(b.bound[2], '''')::timestamptz END, 'infinity'),
        c.relkind <> 'r' OR pg_relation_size(c.oid) > 0
    FROM candleworks.candle_families f
    JOIN pg_inherits i ON i.inhparent = ('public.' || f.ticks)::regclass AND NOT i.inhdetachpending
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (
        SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \((.*)\) TO \((.*)\)') AS bound
    ) b
$$;

-- From the first to the end of the last stored minute of [start, stop), of any symbol of these ticks; null where none is
-- stored. Symbols come from the daily candles, because there is no index by bucket alone.
CREATE FUNCTION candleworks.stored_span(ticks text, start timestamptz, stop timestamptz) RETURNS tstzrange
LANGUAGE plpgsql STABLE AS $$
DECLARE
    span tstzrange;
BEGIN
    EXECUTE (
        SELECT format($sql$
            SELECT CASE WHEN count(c.first) > 0 THEN tstzrange(min(c.first), max(c.last) + interval '1 minute') END
            FROM (
                SELECT DISTINCT d.symbol FROM candleworks.stored_%1$s1d d
                WHERE d.bucket >= date_trunc('day', $1, 'UTC') AND d.bucket < $2
            ) s
            CROSS JOIN LATERAL (
                SELECT min(b.bucket) AS first, max(b.bucket) AS last FROM candleworks.stored_%1$s1m b
                WHERE b.symbol = s.symbol AND b.bucket >= $1 AND b.bucket < $2
            ) c
        $sql$, f.prefix) FROM candleworks.candle_families f WHERE f.ticks = stored_span.ticks
    ) INTO span USING start, stop;
    RETURN span;
END $$;

-- Policies of TimescaleDB on ticks and candles; plain PostgreSQL has none.
CREATE FUNCTION candleworks.foreign_policies() RETURNS TABLE (job integer, procedure text, relation text)
LANGUAGE sql IMMUTABLE AS $$ SELECT NULL::integer, NULL::text, NULL::text WHERE false $$;

-- Makes sure that rows of [first, last] have a partition in this table of ticks. Harmless to repeat and to run at the same
-- time. A new table is attached instead of created in place: that takes SHARE UPDATE EXCLUSIVE on the parent, which neither
-- readers nor writers notice. Weeks are counted in hours, because a day of the session's zone may have 23. A partition that is
-- made anew is recorded before it gets ticks, so that the old one is known to have been dropped.
CREATE OR REPLACE FUNCTION candleworks.prepare_partitions(table_name text, first timestamptz, last timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    week timestamptz := public.time_bucket('7 days', first);
    partition text;
    created boolean := false;
BEGIN
    WHILE week <= last LOOP
        partition := table_name || '_' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF to_regclass('candleworks.' || partition) IS NULL THEN
            PERFORM pg_advisory_xact_lock(candleworks.lock_class('prepare_partitions'), 0);
            -- Not to_regclass() again: it remembers that there was none, even when somebody made it while we waited.
            IF NOT EXISTS (
                SELECT FROM pg_class WHERE relname = partition AND relnamespace = 'candleworks'::regnamespace
            ) THEN
                EXECUTE format('CREATE TABLE candleworks.%I (LIKE public.%I INCLUDING ALL)', partition, table_name);
                EXECUTE format(
                    'ALTER TABLE public.%I ATTACH PARTITION candleworks.%I FOR VALUES FROM (%L) TO (%L)',
                    table_name, partition, week, week + interval '168 hours');
                created := true;
            END IF;
        END IF;
        week := week + interval '168 hours';
    END LOOP;
    IF created THEN
        PERFORM candleworks.record_tick_parts();
    END IF;
END $$;

-- The trigger that notes minutes of changed ticks, except those whose ticks were dropped: a late one must not replace a candle
-- by itself alone.
DO $create$
DECLARE
    family candleworks.candle_families;
BEGIN
    FOR family IN SELECT * FROM candleworks.candle_families LOOP
        EXECUTE format($sql$
            CREATE OR REPLACE FUNCTION candleworks.%2$I() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
            DECLARE
                dropped tstzmultirange := candleworks.recorded_drops(TG_TABLE_NAME);
            BEGIN
                IF TG_OP <> 'DELETE' THEN
                    INSERT INTO candleworks.%1$I (symbol, bucket)
                    SELECT DISTINCT symbol, date_trunc('minute', time, 'UTC') FROM changed WHERE NOT dropped @> time;
                END IF;
                IF TG_OP <> 'INSERT' THEN
                    INSERT INTO candleworks.%1$I (symbol, bucket)
                    SELECT DISTINCT symbol, date_trunc('minute', time, 'UTC') FROM replaced WHERE NOT dropped @> time;
                END IF;
                RETURN NULL;
            END $body$
        $sql$, family.prefix || 'candle_invalidations', 'invalidate_' || family.prefix || 'candles');
    END LOOP;
END $create$;

-- Rewrites the candles of the given buckets of one relation, except those whose ticks were dropped, which is asked in the
-- snapshot that reads the ticks: a drop between two statements deletes no candle. Returns how many candles changed.
CREATE OR REPLACE FUNCTION candleworks.store_candles(
    level candleworks.candle_relations, symbols text[], buckets timestamptz[]
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    candle text := candleworks.candle_query(level, level.stored_source);
    names text;
    excluded_names text;
    stored_names text;
    written bigint;
    removed bigint;
    -- Candles above the lowest level are computed from candles, which outlive their ticks.
    kept text := CASE WHEN level.of_ticks THEN format(
        'NOT (SELECT candleworks.dropped_times(f.ticks) FROM candleworks.candle_families f WHERE f.name = %L)'
        ' && tstzrange(i.bucket, i.bucket + %L::interval)', level.family, level.width
    ) ELSE 'true' END;
BEGIN
    SELECT
        string_agg(format('%I', c.name), ', ' ORDER BY c.position),
        string_agg(format('excluded.%I', c.name), ', ' ORDER BY c.position),
        string_agg(format('s.%I', c.name), ', ' ORDER BY c.position)
    INTO names, excluded_names, stored_names FROM candleworks.candle_columns c WHERE c.family = level.family;
    EXECUTE format($sql$
        INSERT INTO %1$s AS s (bucket, symbol, %3$s)
        SELECT i.bucket, i.symbol, %3$s
        FROM unnest($1, $2) i(symbol, bucket)
        CROSS JOIN LATERAL (%2$s) c
        WHERE %6$s
        ON CONFLICT (symbol, bucket) DO UPDATE SET (%3$s) = ROW(%4$s)
        WHERE (%5$s) IS DISTINCT FROM (%4$s)
    $sql$, level.stored, candle, names, excluded_names, stored_names, kept) USING symbols, buckets;
    GET DIAGNOSTICS written = ROW_COUNT;
    EXECUTE format($sql$
        DELETE FROM %1$s s
        USING unnest($1, $2) i(symbol, bucket)
        WHERE s.symbol = i.symbol AND s.bucket = i.bucket AND %3$s AND NOT EXISTS (SELECT FROM (%2$s) c)
    $sql$, level.stored, candle, kept) USING symbols, buckets;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN written + removed;
END $$;

-- Takes up to max_minutes of the noted minutes of each family, rebuilds every candle above them, and returns what
-- refresh_family() does: levels are called '1m' for trades and 'quote 1m' for quotes.
CREATE OR REPLACE FUNCTION candleworks.refresh_candles(max_minutes integer DEFAULT 20000)
RETURNS TABLE (level text, due integer, changed bigint)
LANGUAGE plpgsql AS $$
DECLARE
    family candleworks.candle_families;
BEGIN
    PERFORM pg_advisory_xact_lock(candleworks.lock_class('refresh_candles'), 0);
    PERFORM candleworks.record_tick_parts();
    FOR family IN SELECT * FROM candleworks.candle_families f ORDER BY f.prefix LOOP
        RETURN QUERY SELECT * FROM candleworks.refresh_family(family, max_minutes);
    END LOOP;
END $$;

-- Stores the candles of everything that ends before `stop`, and moves the horizon there: ticks before it leave candles alone
-- from then on. A partition without ticks moves no horizon: its week may still get some, and candles. Waits for transactions
-- that write to the partition, at most as long as lock_timeout says; readers do not notice.
CREATE OR REPLACE FUNCTION candleworks.close_partition(relation text, partition text, stop timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    notes text := (SELECT 'candleworks.' || f.prefix || 'candle_invalidations'
        FROM candleworks.candle_families f WHERE f.ticks = relation);
    noted boolean;
    has_ticks boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(candleworks.lock_class('refresh_candles'), 0);
    -- From here on no tick can come in between the last refresh and the new horizon.
    EXECUTE format('LOCK TABLE candleworks.%I IN SHARE ROW EXCLUSIVE MODE', partition);
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE bucket < $1)', notes) INTO noted USING stop;
        EXIT WHEN NOT noted;
        PERFORM candleworks.refresh_candles();
    END LOOP;
    EXECUTE format('SELECT EXISTS (SELECT FROM candleworks.%I)', partition) INTO has_ticks;
    INSERT INTO candleworks.retention_horizons AS h (relation, dropped_before)
    SELECT close_partition.relation, stop WHERE has_ticks
    ON CONFLICT ON CONSTRAINT retention_horizons_pkey DO UPDATE
        SET dropped_before = greatest(h.dropped_before, excluded.dropped_before);
END $$;

-- The parts of every stored relation: partitions, except those that wait for their first tick, or the whole of what has no
-- parts. starts_at and ends_at bound the times in a part; bytes are with indexes; nothing is compressed, so that bytes_before is
-- null.
CREATE OR REPLACE FUNCTION dashboards.parts() RETURNS TABLE (
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
    JOIN pg_class c ON c.oid = t.part AND c.relkind = 'r' AND (NOT c.relispartition OR pg_relation_size(c.oid) > 0)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN c.relispartition
            THEN to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' END AS week
    ) w
$$;
