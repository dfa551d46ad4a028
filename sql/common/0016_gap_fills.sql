-- What became of filling the gaps from the vendor's one-minute bars, and which minutes hold bars instead of ticks.
-- Locks: a moment on feed_gaps for the foreign key, everything else is new.

-- One row per gap and symbol that was tried. filled: bars were written; empty: there is nothing to fetch, and reason says
-- why; failed: it could not be fetched, and reason says why. A gap is filled when none of its symbols is missing or failed.
-- What was fetched of a long gap before an interruption ends at fetched_until.
CREATE TABLE public.gap_fills (
    gap_id bigint NOT NULL REFERENCES public.feed_gaps ON DELETE CASCADE,
    symbol text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('filled', 'empty', 'failed')),
    bars bigint NOT NULL,
    reason text,
    attempts integer NOT NULL,
    fetched_until timestamptz,
    at timestamptz NOT NULL,
    PRIMARY KEY (gap_id, symbol),
    CHECK ((reason IS NULL) = (outcome = 'filled'))
);

-- The bars behind the ticks whose origin is 'bar'. parts is what of the minute lies in gaps, known how many ticks were
-- there when it was filled: as soon as there are more, the bar's ticks give way to them. volume_at is the time of the tick
-- that carries the volume.
CREATE TABLE candleworks.vendor_bars (
    symbol text NOT NULL,
    minute timestamptz NOT NULL,
    parts tstzmultirange NOT NULL,
    known bigint NOT NULL,
    volume double precision,
    volume_at timestamptz NOT NULL,
    PRIMARY KEY (symbol, minute)
);

-- Trading days in which bars were written not long ago. A feed that runs counts its next tick's volume from what it knows,
-- which are no bars: these days are looked at again until such a tick has come. first to last are the bars, top is their
-- highest running total.
CREATE TABLE candleworks.fill_followups (
    symbol text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    top double precision,
    PRIMARY KEY (symbol, day_start)
);
