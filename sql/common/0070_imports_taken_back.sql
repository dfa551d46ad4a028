-- What it takes to tell an import apart from everything else: the options that it was called with, the received_at of its
-- ticks, and the bars that gave way to it. With that, `candleworks import --undo` takes it back.
-- Locks: import_files, quote_bars and vendor_bars exclusively, for a moment.

-- options are those that decide what a content means (format, symbol, timezone, columns, digits), null for imports that
-- were made before they were kept. undone: the import was taken back, its counts tell what it had been.
ALTER TABLE public.import_files
    ADD COLUMN options jsonb,
    DROP CONSTRAINT import_files_status_check,
    ADD CONSTRAINT import_files_status_check CHECK (status IN ('importing', 'imported', 'undone'));
UPDATE public.import_files f SET options = p.options::jsonb FROM candleworks.import_progress p WHERE p.sha256 = f.sha256;
ALTER TABLE candleworks.import_progress DROP COLUMN options;

-- Each run of an import has a moment of its own, which its ticks have as their received_at: an interrupted import has
-- several. first and last are the stamps of what it has read so far, null before that.
CREATE TABLE candleworks.import_runs (
    received_at timestamptz PRIMARY KEY,
    sha256 text NOT NULL,
    first timestamptz,
    last timestamptz
);
CREATE INDEX import_runs_sha256 ON candleworks.import_runs (sha256);

-- Which run brought each side of a bar of quotes.
ALTER TABLE candleworks.quote_bars
    ADD COLUMN bid_received_at timestamptz,
    ADD COLUMN ask_received_at timestamptz;

-- Bars that gave way to what an import stored, with their ticks, by the import's content.
CREATE TABLE candleworks.replaced_bars (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 text NOT NULL,
    relation text NOT NULL CHECK (relation IN ('vendor_bars', 'quote_bars')),
    bar jsonb NOT NULL,
    ticks jsonb NOT NULL
);
CREATE INDEX replaced_bars_sha256 ON candleworks.replaced_bars (sha256);

-- The setting candleworks.import names the content that the session imports. Bars are deleted before their ticks.
CREATE FUNCTION candleworks.keep_replaced_bars() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    content text := nullif(current_setting('candleworks.import', true), '');
BEGIN
    IF content IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'vendor_bars' THEN
        INSERT INTO candleworks.replaced_bars (sha256, relation, bar, ticks)
        SELECT content, 'vendor_bars', to_jsonb(g), t.ticks
        FROM gone g
        CROSS JOIN LATERAL (
            SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.time), '[]') AS ticks
            FROM public.stocks_real_time t
            WHERE t.symbol = g.symbol AND t.origin = 'bar' AND t.time >= least(g.minute, lower(g.parts))
                AND t.time < greatest(g.minute + interval '1 minute', upper(g.parts))
        ) t;
    ELSE
        INSERT INTO candleworks.replaced_bars (sha256, relation, bar, ticks)
        SELECT content, 'quote_bars', to_jsonb(g), t.ticks
        FROM gone g
        CROSS JOIN LATERAL (
            SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.time), '[]') AS ticks
            FROM public.quotes t
            WHERE t.symbol = g.symbol AND t.origin = 'bar' AND t.time >= g.start AND t.time < g.start + g.width
        ) t;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_replaced AFTER DELETE ON candleworks.vendor_bars
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION candleworks.keep_replaced_bars();
CREATE TRIGGER keep_replaced AFTER DELETE ON candleworks.quote_bars
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION candleworks.keep_replaced_bars();
