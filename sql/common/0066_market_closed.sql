-- Gaps that lie in hours in which a symbol's market was closed are told apart from those that were filled, and the vendor's
-- own words about exhausted API credits are kept; docs/explanation/gaps.md.
-- Locks: gap_fills and rest_pauses, for a moment; gap_fills is read once to validate the constraint.

-- market_closed: nothing could be missed, because the market was closed for the whole gap.
ALTER TABLE public.gap_fills DROP CONSTRAINT gap_fills_outcome_check;
ALTER TABLE public.gap_fills
    ADD CONSTRAINT gap_fills_outcome_check CHECK (outcome IN ('filled', 'market_closed', 'empty', 'failed'));

-- What the vendor said, and when.
ALTER TABLE candleworks.rest_pauses
    ADD COLUMN words text,
    ADD COLUMN said_at timestamptz NOT NULL DEFAULT now();

-- Keeps everybody from asking for so many seconds, or when they are null until the vendor's next minute, or for the rest of
-- the UTC day. A pause that ends later than the new one stays.
DROP FUNCTION candleworks.pause_credits(text, double precision, boolean);
CREATE FUNCTION candleworks.pause_credits(
    payer text, seconds double precision, whole_day boolean, words text
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO candleworks.rest_pauses AS p (account, until, whole_day, words, said_at) VALUES (
        payer,
        CASE
            WHEN whole_day THEN date_trunc('day', clock_timestamp(), 'UTC') + interval '24 hours'
            WHEN seconds IS NOT NULL THEN clock_timestamp() + seconds * interval '1 second'
            ELSE date_trunc('minute', clock_timestamp(), 'UTC') + interval '61 seconds'
        END,
        whole_day,
        words,
        clock_timestamp()
    )
    ON CONFLICT (account) DO UPDATE SET
        until = excluded.until, whole_day = excluded.whole_day, words = excluded.words, said_at = excluded.said_at
    WHERE excluded.until > p.until
$$;
