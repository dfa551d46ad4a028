-- How far the history before each symbol's first tick has been loaded from the vendor's bars; docs/explanation/backfill.md.
-- Locks: none, everything is new.

-- The time of microseconds since 1970.
CREATE FUNCTION candleworks.time_at(microseconds bigint) RETURNS timestamptz
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN timestamptz '1970-01-01 00:00:00+00' + microseconds * interval '1 microsecond';

CREATE TABLE public.backfills (
    feed text NOT NULL,
    symbol text NOT NULL,
    wanted_from timestamptz NOT NULL,
    streamed_from timestamptz,
    fetched_from timestamptz,
    fetched_until timestamptz,
    bars bigint NOT NULL DEFAULT 0,
    outcome text NOT NULL CHECK (outcome IN ('loading', 'waiting', 'complete', 'refused', 'failed')),
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    named boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    PRIMARY KEY (feed, symbol),
    CHECK ((fetched_from IS NULL) = (fetched_until IS NULL)),
    CHECK (fetched_from <= fetched_until)
);
COMMENT ON TABLE public.backfills IS 'How far the history of a symbol has been loaded from the vendor''s bars.';
COMMENT ON COLUMN public.backfills.wanted_from IS 'Start of the history to load.';
COMMENT ON COLUMN public.backfills.streamed_from IS
    'Event time of the symbol''s first streamed tick, where the history ends. Null: no tick yet.';
COMMENT ON COLUMN public.backfills.fetched_from IS 'Start of what has been loaded. Null: nothing yet.';
COMMENT ON COLUMN public.backfills.fetched_until IS
    'End of what has been loaded and is final at the vendor. Null: nothing yet.';
COMMENT ON COLUMN public.backfills.bars IS 'Number of one-minute bars that were written.';
COMMENT ON COLUMN public.backfills.outcome IS
    'loading: more is left; waiting: only the minutes before the first tick are left; complete; refused: the vendor does'
    ' not serve the symbol; failed: the last attempt failed.';
COMMENT ON COLUMN public.backfills.reason IS 'Why it is not complete, or why there are no bars. Null: there is no reason.';
COMMENT ON COLUMN public.backfills.attempts IS 'Failed attempts since the last one that succeeded.';
COMMENT ON COLUMN public.backfills.retry_at IS 'When it is tried again. Null: at the next run.';
COMMENT ON COLUMN public.backfills.named IS 'Whether the name of its company has been looked up.';
COMMENT ON COLUMN public.backfills.at IS 'Time of the last attempt.';
