-- What the feeds are doing: which symbols they stream, how far their ticks are stored, and which feeds a person stopped.
-- Locks: none, everything is new.

CREATE TABLE public.feed_symbols (
    feed text NOT NULL,
    symbol text NOT NULL,
    status text NOT NULL CHECK (status IN ('asked', 'streaming', 'refused', 'removed')),
    reason text,
    since timestamptz NOT NULL,
    PRIMARY KEY (feed, symbol),
    CHECK (reason IS NULL OR status = 'refused')
);
COMMENT ON TABLE public.feed_symbols IS 'Every symbol that a feed was asked to stream.';
COMMENT ON COLUMN public.feed_symbols.status IS
    'asked; streaming; refused by the vendor; or removed: no longer asked for, kept because earlier gaps of the feed'
    ' concern it.';
COMMENT ON COLUMN public.feed_symbols.reason IS 'What the vendor said. Null: not refused.';
COMMENT ON COLUMN public.feed_symbols.since IS 'When the status began.';

CREATE TABLE public.feed_stops (
    feed text PRIMARY KEY,
    stopped_at timestamptz NOT NULL,
    reason text NOT NULL,
    deliberate boolean NOT NULL
);
COMMENT ON TABLE public.feed_stops IS
    'Feeds that were stopped in order and have not started again. After a crash there is no row.';
COMMENT ON COLUMN public.feed_stops.deliberate IS
    'Whether a person stopped the feed. False: it stopped with the process that supervises it and starts it again.';

-- Whether a person has stopped the feed and nobody has started it again.
CREATE FUNCTION candleworks.is_stopped(wanted text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM public.feed_stops s WHERE s.feed = wanted AND s.deliberate)
$$;

-- Every symbol that some feed streams or should, and since when at the longest.
CREATE FUNCTION candleworks.subscribed_symbols() RETURNS TABLE (symbol text, since timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT s.symbol, min(s.since) FROM public.feed_symbols s
    WHERE s.status IN ('asked', 'streaming') AND NOT candleworks.is_stopped(s.feed) GROUP BY s.symbol
$$;

-- How far each run of a feed is stored: written in the transaction of every batch, so that after a crash no batch of the
-- spool is stored twice.
CREATE TABLE candleworks.feed_marks (
    feed text NOT NULL,
    run uuid NOT NULL,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, run)
) WITH (fillfactor = 50);

-- Recordings that were streamed into this database as if live. A database of replays holds nothing else. shifted_by is what
-- was added to the event times; the counts are null while the replay runs, and after it was killed.
CREATE TABLE candleworks.feed_replays (
    feed text NOT NULL,
    source text NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    shifted_by interval NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    sent bigint,
    stored bigint,
    duplicates bigint,
    rejected bigint,
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
