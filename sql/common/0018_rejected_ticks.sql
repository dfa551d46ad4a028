-- Ticks that failed validation, as they came: nothing is dropped without a row here.
-- Locks: none, everything is new.
CREATE TABLE public.rejected_ticks (
    received_at timestamptz NOT NULL,
    feed text NOT NULL,
    reason text NOT NULL,
    payload text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outcome text CHECK (outcome IN ('stored', 'duplicate', 'rejected')),
    replayed_at timestamptz,
    resolved_at timestamptz,
    corrected text,
    replay_reason text,
    CHECK ((resolved_at IS NOT NULL) = (outcome IS NOT NULL AND outcome <> 'rejected'))
);
CREATE INDEX rejected_ticks_received_at ON public.rejected_ticks (received_at);
COMMENT ON TABLE public.rejected_ticks IS
    'Ticks that failed validation, as they came, and what became of them afterwards.';
COMMENT ON COLUMN public.rejected_ticks.feed IS 'Name of the feed, or path of the imported file.';
COMMENT ON COLUMN public.rejected_ticks.payload IS 'The tick as it came.';
COMMENT ON COLUMN public.rejected_ticks.outcome IS
    'Of the last replay: stored, duplicate (it was stored already), or rejected again. Null: never replayed.';
COMMENT ON COLUMN public.rejected_ticks.replayed_at IS 'Time of the last replay. Null: never replayed.';
COMMENT ON COLUMN public.rejected_ticks.resolved_at IS
    'When the tick was stored, or found to be. Null: it is not stored.';
COMMENT ON COLUMN public.rejected_ticks.corrected IS
    'The payload that was replayed instead. Null: it was replayed as it came.';
COMMENT ON COLUMN public.rejected_ticks.replay_reason IS 'Why the last replay rejected it again. Null: it did not.';
