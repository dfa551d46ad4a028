-- Feeds whose API key is refused although the vendor has accepted it before: docs/decisions/0065-a-key-that-has-worked.md.
-- Locks: none, everything is new.

-- A row for each feed whose newest attempt was refused so; `observed` quotes the answer.
CREATE TABLE candleworks.feed_refusals (
    feed text PRIMARY KEY,
    observed text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
