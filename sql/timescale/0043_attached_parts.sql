-- What there is of ticks on TimescaleDB, for 0044_dropped_ticks: chunks, whoever made them. Functions instead of views,
-- because an update of the extension replaces catalogs that nothing may depend on.
-- Locks: SHARE ROW EXCLUSIVE on the tables of ticks for a moment.

-- The chunks of ticks and their bounds. All are used: TimescaleDB makes them for ticks.
CREATE FUNCTION candleworks.attached_parts()
RETURNS TABLE (relation text, part regclass, starts_at timestamptz, stops_at timestamptz, used boolean)
LANGUAGE sql STABLE AS $$
    SELECT f.ticks, i.inhrelid::regclass, _timescaledb_functions.to_timestamp(s.range_start),
        _timescaledb_functions.to_timestamp(s.range_end), true
    FROM candleworks.candle_families f
    JOIN _timescaledb_catalog.hypertable h ON h.schema_name = 'public' AND h.table_name = f.ticks
    JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id AND d.column_name = 'time'
    JOIN pg_inherits i ON i.inhparent = ('public.' || f.ticks)::regclass
    JOIN _timescaledb_catalog.chunk_constraint k
        ON k.chunk_id = _timescaledb_functions.chunk_id_from_relid(i.inhrelid)
    JOIN _timescaledb_catalog.dimension_slice s ON s.id = k.dimension_slice_id AND s.dimension_id = d.id
$$;

-- From the first to the end of the last stored minute of [start, stop), of any symbol of these ticks; null where none is
-- stored. What lies behind the watermark is not stored, but computed when it is read.
CREATE FUNCTION candleworks.stored_span(ticks text, start timestamptz, stop timestamptz) RETURNS tstzrange
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles text := (SELECT f.prefix || 'candles_1m' FROM candleworks.candle_families f WHERE f.ticks = stored_span.ticks);
    span tstzrange;
BEGIN
    EXECUTE format($sql$
        SELECT CASE WHEN count(*) > 0 THEN tstzrange(min(c.bucket), max(c.bucket) + interval '1 minute') END
        FROM public.%I c WHERE c.bucket >= $1 AND c.bucket < $2
    $sql$, candles) INTO span USING start, least(stop, (
        SELECT CASE WHEN w.watermark > -210866803200000000 THEN _timescaledb_functions.to_timestamp(w.watermark) ELSE start END
        FROM _timescaledb_catalog.continuous_agg c
        JOIN _timescaledb_catalog.continuous_aggs_watermark w USING (mat_hypertable_id)
        WHERE c.user_view_schema = 'public' AND c.user_view_name = candles
    ));
    RETURN span;
END $$;

-- Policies of TimescaleDB on ticks and candles, which have none of our own: `candleworks maintain` does the work.
CREATE FUNCTION candleworks.foreign_policies() RETURNS TABLE (job integer, procedure text, relation text)
LANGUAGE sql STABLE AS $$
    SELECT j.job_id, j.proc_name::text, coalesce(c.view_name, j.hypertable_name)::text
    FROM timescaledb_information.jobs j
    LEFT JOIN timescaledb_information.continuous_aggregates c
        ON j.hypertable_name IN (c.materialization_hypertable_name, c.view_name)
    WHERE j.proc_name LIKE 'policy\_%' AND coalesce(c.view_schema, j.hypertable_schema) = 'public'
        AND coalesce(c.view_name, j.hypertable_name) IN (
            SELECT r.relation FROM candleworks.candle_relations r UNION ALL
            SELECT f.ticks FROM candleworks.candle_families f
        )
    ORDER BY j.job_id
$$;

-- TRUNCATE drops all chunks, but says like DELETE that there are no ticks: candles follow.
CREATE FUNCTION candleworks.forget_tick_parts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM candleworks.tick_parts t WHERE t.relation = TG_TABLE_NAME AND t.dropped_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_tick_parts BEFORE TRUNCATE ON public.stocks_real_time
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.forget_tick_parts();
CREATE TRIGGER forget_tick_parts BEFORE TRUNCATE ON public.quotes
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.forget_tick_parts();
