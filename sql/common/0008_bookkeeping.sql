-- What happened on the way: nothing is dropped without a row here.
-- Locks: none, everything is new.

-- Ticks that were refused, as they came. `feed` is the feed's name or the imported file's path.
CREATE TABLE public.rejected_ticks (
    received_at timestamptz NOT NULL,
    feed text NOT NULL,
    reason text NOT NULL,
    payload text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
CREATE INDEX rejected_ticks_received_at ON public.rejected_ticks (received_at);

-- One row per feed and 10 s, rewritten while its 10 s last. lag_ms is from a tick's arrival to its commit, null while
-- no tick came; candles are those that the feed's process refreshed.
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

-- Files by content. rows = stored + duplicates + rejected; first and last are the stamps of the stored and duplicate
-- ticks, null for a file without times.
CREATE TABLE public.import_files (
    path text NOT NULL,
    sha256 text PRIMARY KEY,
    rows bigint NOT NULL,
    stored bigint NOT NULL,
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,
    first timestamptz,
    last timestamptz,
    status text NOT NULL CHECK (status IN ('imported')),
    imported_at timestamptz NOT NULL
);
