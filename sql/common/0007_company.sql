-- Who is behind a symbol; the first two columns are the tutorial's.
-- Locks: none, everything is new.
CREATE TABLE public.company (
    symbol text PRIMARY KEY,
    name text NOT NULL,
    exchange text,
    currency text,
    type text
);
