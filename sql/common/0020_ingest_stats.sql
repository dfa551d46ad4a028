-- What each feed does, and what it has done since it was first seen: ingest_stats is pruned by retention, and a sum over it
-- would fall then; the totals only ever grow, so that they can be read as counters.
-- Locks: none, everything is new.

CREATE TABLE public.ingest_stats (
    feed text NOT NULL,
    at timestamptz NOT NULL,
    ticks bigint NOT NULL,
    batches bigint NOT NULL,
    lag_ms_p50 double precision,
    lag_ms_p99 double precision,
    lag_ms_max double precision,
    spool_depth bigint NOT NULL,
    reconnects bigint NOT NULL,
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,
    candles bigint NOT NULL,
    PRIMARY KEY (feed, at)
);
COMMENT ON TABLE public.ingest_stats IS 'One row per feed and ten seconds, rewritten while they last.';
COMMENT ON COLUMN public.ingest_stats.at IS 'Start of the ten seconds.';
COMMENT ON COLUMN public.ingest_stats.ticks IS 'Ticks that were stored.';
COMMENT ON COLUMN public.ingest_stats.lag_ms_p50 IS
    'Median of the time from arrival to commit, in milliseconds. Null: no tick came.';
COMMENT ON COLUMN public.ingest_stats.lag_ms_p99 IS '99th percentile of the same. Null: no tick came.';
COMMENT ON COLUMN public.ingest_stats.lag_ms_max IS 'Maximum of the same. Null: no tick came.';
COMMENT ON COLUMN public.ingest_stats.spool_depth IS 'Ticks that waited on disk.';
COMMENT ON COLUMN public.ingest_stats.candles IS 'Candles that the process of the feed refreshed.';

CREATE TABLE candleworks.ingest_totals (
    feed text PRIMARY KEY,
    since timestamptz NOT NULL,
    ticks bigint NOT NULL,
    batches bigint NOT NULL,
    reconnects bigint NOT NULL,
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,
    candles bigint NOT NULL,
    run text
) WITH (fillfactor = 50);

-- What a number of a row added to the total. A row is rewritten while its ten seconds last; what writes it anew from zero
-- is another process, which names itself in the setting candleworks.run, or not.
CREATE FUNCTION candleworks.growth(before bigint, after bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN after >= coalesce(before, 0) THEN after - coalesce(before, 0) ELSE after END;

-- Acts for the owner: who may write ingest_stats needs no right to the totals.
CREATE FUNCTION candleworks.add_to_ingest_totals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer text := nullif(current_setting('candleworks.run', true), '');
    before public.ingest_stats;
BEGIN
    IF TG_OP = 'UPDATE' AND NOT EXISTS (
        SELECT FROM candleworks.ingest_totals t WHERE t.feed = NEW.feed AND t.run <> writer
    ) THEN
        before := OLD;
    END IF;
    INSERT INTO candleworks.ingest_totals AS t (
        feed, since, ticks, batches, reconnects, duplicates, rejected, candles, run
    ) VALUES (
        NEW.feed,
        NEW.at,
        candleworks.growth(before.ticks, NEW.ticks),
        candleworks.growth(before.batches, NEW.batches),
        candleworks.growth(before.reconnects, NEW.reconnects),
        candleworks.growth(before.duplicates, NEW.duplicates),
        candleworks.growth(before.rejected, NEW.rejected),
        candleworks.growth(before.candles, NEW.candles),
        writer
    )
    ON CONFLICT (feed) DO UPDATE SET
        since = least(t.since, excluded.since),
        ticks = t.ticks + excluded.ticks,
        batches = t.batches + excluded.batches,
        reconnects = t.reconnects + excluded.reconnects,
        duplicates = t.duplicates + excluded.duplicates,
        rejected = t.rejected + excluded.rejected,
        candles = t.candles + excluded.candles,
        run = excluded.run;
    RETURN NULL;
END $$;

CREATE TRIGGER add_to_ingest_totals AFTER INSERT OR UPDATE ON public.ingest_stats
    FOR EACH ROW EXECUTE FUNCTION candleworks.add_to_ingest_totals();
