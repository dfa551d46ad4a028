-- What a feed does with the bids and asks of its ticks, which are stored as quotes: docs/decisions/0048-live-quotes.md.
-- Locks: public.ingest_stats and its totals for a moment; no row is rewritten.
ALTER TABLE public.ingest_stats
    ADD COLUMN quotes bigint NOT NULL DEFAULT 0,
    ADD COLUMN duplicate_quotes bigint NOT NULL DEFAULT 0,
    ADD COLUMN rejected_quotes bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN public.ingest_stats.quotes IS 'Quotes that were stored, besides the ticks that they came with.';
COMMENT ON COLUMN public.ingest_stats.duplicate_quotes IS 'Quotes that were stored already.';
COMMENT ON COLUMN public.ingest_stats.rejected_quotes IS 'Quotes that were rejected; their ticks are counted besides.';

ALTER TABLE candleworks.ingest_totals
    ADD COLUMN quotes bigint NOT NULL DEFAULT 0,
    ADD COLUMN duplicate_quotes bigint NOT NULL DEFAULT 0,
    ADD COLUMN rejected_quotes bigint NOT NULL DEFAULT 0;

-- As before, with the counts of quotes.
CREATE OR REPLACE FUNCTION candleworks.add_to_ingest_totals() RETURNS trigger
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
        feed, since, ticks, batches, reconnects, duplicates, rejected, candles, quotes, duplicate_quotes, rejected_quotes, run
    ) VALUES (
        NEW.feed,
        NEW.at,
        candleworks.growth(before.ticks, NEW.ticks),
        candleworks.growth(before.batches, NEW.batches),
        candleworks.growth(before.reconnects, NEW.reconnects),
        candleworks.growth(before.duplicates, NEW.duplicates),
        candleworks.growth(before.rejected, NEW.rejected),
        candleworks.growth(before.candles, NEW.candles),
        candleworks.growth(before.quotes, NEW.quotes),
        candleworks.growth(before.duplicate_quotes, NEW.duplicate_quotes),
        candleworks.growth(before.rejected_quotes, NEW.rejected_quotes),
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
        quotes = t.quotes + excluded.quotes,
        duplicate_quotes = t.duplicate_quotes + excluded.duplicate_quotes,
        rejected_quotes = t.rejected_quotes + excluded.rejected_quotes,
        run = excluded.run;
    RETURN NULL;
END $$;

COMMENT ON COLUMN public.quotes.origin IS
    'What stored it: twelvedata, file, bar, or manual for everything else. A quote of the origin bar is rebuilt from a'
    ' bar of bid and ask.';
COMMENT ON COLUMN public.stocks_real_time.bid IS
    'Best bid that came with the trade. Null: none came, or it was rejected.';
COMMENT ON COLUMN public.stocks_real_time.ask IS
    'Best ask that came with the trade. Null: none came, or it was rejected.';
COMMENT ON COLUMN public.rejected_ticks.reason IS
    'Why it was rejected. It begins with "quote: " where only the quote was, and the trade is stored.';
