-- Imported files, by content. What it takes to resume an interrupted import, and to undo one: `candleworks import --undo`.
-- Locks: none, everything is new.
CREATE TABLE public.import_files (
    path text NOT NULL,
    sha256 text PRIMARY KEY,
    rows bigint NOT NULL,
    stored bigint NOT NULL,
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,
    first timestamptz,
    last timestamptz,
    status text NOT NULL CHECK (status IN ('importing', 'imported', 'undone')),
    imported_at timestamptz NOT NULL,
    options jsonb
);
COMMENT ON TABLE public.import_files IS 'Imported files by content: rows = stored + duplicates + rejected.';
COMMENT ON COLUMN public.import_files.path IS 'Path of the file when it was last imported.';
COMMENT ON COLUMN public.import_files.first IS
    'Earliest event time of the stored and duplicate rows. Null: the file has no times.';
COMMENT ON COLUMN public.import_files.last IS
    'Latest event time of the stored and duplicate rows. Null: the file has no times.';
COMMENT ON COLUMN public.import_files.status IS
    'importing: running or interrupted; imported; or undone: the counts then say what the import was.';
COMMENT ON COLUMN public.import_files.options IS
    'Options that decide what the content means: format, symbol, timezone, columns, digits. Null: not kept.';

-- How far an import that has not finished came; written together with each piece. `state` is the reader's place and what it
-- has to remember behind it.
CREATE TABLE candleworks.import_progress (
    sha256 text PRIMARY KEY REFERENCES public.import_files ON DELETE CASCADE,
    state jsonb NOT NULL
);

-- Each run of an import has a received_at of its own, which its ticks have as well: an interrupted import has several. first
-- and last are the event times of what it has read so far, null before that.
CREATE TABLE candleworks.import_runs (
    received_at timestamptz PRIMARY KEY,
    sha256 text NOT NULL,
    first timestamptz,
    last timestamptz
);
CREATE INDEX import_runs_sha256 ON candleworks.import_runs (sha256);
