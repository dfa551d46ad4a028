-- What became of refused ticks afterwards.
-- Locks: rejected_ticks is closed to everybody for the moment in which its columns are added; no row is rewritten.

-- outcome of the last replay: stored, duplicate (it was stored already), or refused again, for the reason in refusal.
-- resolved_at is set once the tick is stored. corrected is the payload that was replayed where it is another one.
ALTER TABLE public.rejected_ticks
    ADD COLUMN outcome text CHECK (outcome IN ('stored', 'duplicate', 'refused')),
    ADD COLUMN replayed_at timestamptz,
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN corrected text,
    ADD COLUMN refusal text,
    ADD CHECK ((resolved_at IS NOT NULL) = (outcome IS NOT NULL AND outcome <> 'refused'));
