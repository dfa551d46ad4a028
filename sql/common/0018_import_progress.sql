-- Files that are stored piece by piece: an interrupted import is visible, and the next one continues it.
-- Locks: import_files exclusively, for a moment.
ALTER TABLE public.import_files
    DROP CONSTRAINT import_files_status_check,
    ADD CONSTRAINT import_files_status_check CHECK (status IN ('importing', 'imported'));

-- How far an import that has not ended came; written together with each piece. `options` says how the file was read: with
-- others it has to be read from the beginning. `state` is the reader's place and what it has to remember behind it.
CREATE TABLE candleworks.import_progress (
    sha256 text PRIMARY KEY REFERENCES public.import_files ON DELETE CASCADE,
    options text NOT NULL,
    state jsonb NOT NULL
);
