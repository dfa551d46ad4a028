-- Names of symbols; the first two columns are the tutorial's.
-- Locks: none, everything is new.
CREATE TABLE public.company (
    symbol text PRIMARY KEY,
    name text NOT NULL,
    exchange text,
    currency text,
    type text
);
COMMENT ON TABLE public.company IS 'What is behind a symbol: a company, a fund or a pair.';
COMMENT ON COLUMN public.company.exchange IS 'Null: not known.';
COMMENT ON COLUMN public.company.currency IS 'Currency of the prices. Null: not known.';
COMMENT ON COLUMN public.company.type IS 'Kind of instrument, in the vendor''s words. Null: not known.';
