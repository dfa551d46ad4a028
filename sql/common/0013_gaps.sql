-- Gaps of the feeds, and what became of filling them from the vendor's one-minute bars; docs/explanation/gaps.md.
-- Locks: none, everything is new.

CREATE TABLE public.feed_gaps (
    feed text NOT NULL,
    symbol text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    reason text NOT NULL,
    filled_at timestamptz,
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    CHECK (ended_at >= started_at),
    CHECK (filled_at IS NULL OR ended_at IS NOT NULL)
);
CREATE INDEX feed_gaps_started_at ON public.feed_gaps (started_at);
CREATE INDEX feed_gaps_unfilled ON public.feed_gaps (started_at) WHERE filled_at IS NULL;
-- A feed has one open gap per symbol, and one for all symbols.
CREATE UNIQUE INDEX feed_gaps_open ON public.feed_gaps (feed, coalesce(symbol, '')) WHERE ended_at IS NULL;
COMMENT ON TABLE public.feed_gaps IS 'Intervals in which ticks may be missing.';
COMMENT ON COLUMN public.feed_gaps.symbol IS 'Null: every symbol of the feed may be affected.';
COMMENT ON COLUMN public.feed_gaps.ended_at IS 'Null: the gap is open.';
COMMENT ON COLUMN public.feed_gaps.filled_at IS 'When the missing ticks were fetched afterwards. Null: not filled.';

-- The gaps that overlap [start, stop) and affect the symbol; a null bound is open. A gap without a symbol affects the symbols
-- of its feed, or every symbol while those of the feed are unknown.
CREATE FUNCTION candleworks.gaps_of(wanted text, start timestamptz, stop timestamptz) RETURNS SETOF public.feed_gaps
LANGUAGE sql STABLE AS $$
    SELECT g.* FROM public.feed_gaps g
    WHERE (stop IS NULL OR g.started_at < stop) AND (start IS NULL OR g.ended_at IS NULL OR g.ended_at > start)
        AND (
            g.symbol = wanted
            OR g.symbol IS NULL AND (
                EXISTS (SELECT FROM public.feed_symbols s WHERE s.feed = g.feed AND s.symbol = wanted)
                OR NOT EXISTS (SELECT FROM public.feed_symbols s WHERE s.feed = g.feed)
            )
        )
$$;

CREATE FUNCTION candleworks.down_times(wanted text, start timestamptz, stop timestamptz)
RETURNS tstzmultirange LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(range_agg(tstzrange(g.started_at, g.ended_at)), '{}')
    FROM candleworks.gaps_of(wanted, start, stop) g WHERE g.filled_at IS NULL
$$;

CREATE TABLE public.gap_fills (
    gap_id bigint NOT NULL REFERENCES public.feed_gaps ON DELETE CASCADE,
    symbol text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('filled', 'market_closed', 'empty', 'failed')),
    bars bigint NOT NULL,
    reason text,
    attempts integer NOT NULL,
    fetched_until timestamptz,
    at timestamptz NOT NULL,
    PRIMARY KEY (gap_id, symbol),
    CHECK ((reason IS NULL) = (outcome = 'filled'))
);
COMMENT ON TABLE public.gap_fills IS
    'What became of filling a gap, one row per symbol. A gap is filled when none of its symbols is missing or failed.';
COMMENT ON COLUMN public.gap_fills.outcome IS
    'filled: bars were written; market_closed: the market was closed for the whole gap; empty: there is nothing to'
    ' fetch; failed: it could not be fetched.';
COMMENT ON COLUMN public.gap_fills.bars IS 'Number of one-minute bars that were written.';
COMMENT ON COLUMN public.gap_fills.reason IS 'Why no bars were written. Null: filled.';
COMMENT ON COLUMN public.gap_fills.fetched_until IS
    'End of what was fetched of a long gap before an interruption. Null: nothing was fetched.';
COMMENT ON COLUMN public.gap_fills.at IS 'Time of the last attempt.';

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
