-- Bid and ask as they came, one partition per week so that retention drops whole tables, and their candles.
-- `time` is made like that of trades. A crossed quote is stored nowhere.
-- Locks: none, everything is new.
CREATE TABLE public.quotes (
    time timestamptz NOT NULL,
    symbol text NOT NULL,
    bid double precision NOT NULL CHECK (bid >= 0),
    ask double precision NOT NULL CHECK (ask < 'Infinity'),
    bid_volume double precision CHECK (bid_volume >= 0 AND bid_volume < 'Infinity'),
    ask_volume double precision CHECK (ask_volume >= 0 AND ask_volume < 'Infinity'),
    received_at timestamptz NOT NULL DEFAULT now(),
    origin text NOT NULL DEFAULT 'manual',
    UNIQUE (symbol, time),
    CONSTRAINT quotes_not_crossed CHECK (bid <= ask)
) PARTITION BY RANGE (time);

CREATE FUNCTION candleworks.prepare_quotes(first timestamptz, last timestamptz) RETURNS void
LANGUAGE sql AS $$ SELECT candleworks.prepare_partitions('quotes', first, last) $$;

INSERT INTO candleworks.candle_families (name, prefix, ticks) VALUES ('quote', 'quote_', 'quotes');
INSERT INTO candleworks.candle_columns (family, name, type, required, of_ticks, of_candles) VALUES
    ('quote', 'bid_open', 'double precision', true,
        '(array_agg(t.bid ORDER BY t.time))[1]', '(array_agg(b.bid_open ORDER BY b.bucket))[1]'),
    ('quote', 'bid_high', 'double precision', true, 'max(t.bid)', 'max(b.bid_high)'),
    ('quote', 'bid_low', 'double precision', true, 'min(t.bid)', 'min(b.bid_low)'),
    ('quote', 'bid_close', 'double precision', true,
        '(array_agg(t.bid ORDER BY t.time))[count(*)]', '(array_agg(b.bid_close ORDER BY b.bucket))[count(*)]'),
    ('quote', 'ask_open', 'double precision', true,
        '(array_agg(t.ask ORDER BY t.time))[1]', '(array_agg(b.ask_open ORDER BY b.bucket))[1]'),
    ('quote', 'ask_high', 'double precision', true, 'max(t.ask)', 'max(b.ask_high)'),
    ('quote', 'ask_low', 'double precision', true, 'min(t.ask)', 'min(b.ask_low)'),
    ('quote', 'ask_close', 'double precision', true,
        '(array_agg(t.ask ORDER BY t.time))[count(*)]', '(array_agg(b.ask_close ORDER BY b.bucket))[count(*)]'),
    ('quote', 'bid_volume', 'double precision', false, 'sum(t.bid_volume)', 'sum(b.bid_volume)'),
    ('quote', 'ask_volume', 'double precision', false, 'sum(t.ask_volume)', 'sum(b.ask_volume)'),
    ('quote', 'ticks', 'bigint', true, 'count(*)', 'sum(b.ticks)::bigint');
SELECT candleworks.create_candles('quote');
