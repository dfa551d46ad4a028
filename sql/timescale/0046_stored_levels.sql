-- Asks all levels at once how far they are stored.
-- Locks: none, everything is new.

-- Up to where the stored candles of every relation reach; null when there are none.
CREATE FUNCTION dashboards.stored_levels() RETURNS TABLE (relation text, stored_until timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT c.user_view_name::text,
        CASE WHEN w.watermark > -210866803200000000 THEN _timescaledb_functions.to_timestamp(w.watermark) END
    FROM _timescaledb_catalog.continuous_agg c
    JOIN _timescaledb_catalog.continuous_aggs_watermark w USING (mat_hypertable_id)
    WHERE c.user_view_schema = 'public'
$$;
