-- Bid and ask as they came, a hypertable with the configured chunk interval, and their candles.
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
);
SELECT public.create_hypertable(
    'public.quotes',
    public.by_range('time', current_setting('candleworks.chunk_interval')::interval),
    create_default_indexes => false
);

CREATE TRIGGER hold_back_refresh BEFORE INSERT OR UPDATE OR DELETE ON public.quotes
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.hold_back_refresh();

-- TimescaleDB makes chunks by itself; the function exists so that callers need not know.
CREATE FUNCTION candleworks.prepare_quotes(first timestamptz, last timestamptz) RETURNS void
LANGUAGE sql IMMUTABLE RETURN NULL;

INSERT INTO candleworks.candle_families (name, prefix, ticks) VALUES ('quote', 'quote_', 'quotes');
INSERT INTO candleworks.candle_columns (family, name, of_ticks, of_candles) VALUES
    ('quote', 'bid_open', 'public.first(t.bid, t.time)', 'public.first(b.bid_open, b.bucket)'),
    ('quote', 'bid_high', 'max(t.bid)', 'max(b.bid_high)'),
    ('quote', 'bid_low', 'min(t.bid)', 'min(b.bid_low)'),
    ('quote', 'bid_close', 'public.last(t.bid, t.time)', 'public.last(b.bid_close, b.bucket)'),
    ('quote', 'ask_open', 'public.first(t.ask, t.time)', 'public.first(b.ask_open, b.bucket)'),
    ('quote', 'ask_high', 'max(t.ask)', 'max(b.ask_high)'),
    ('quote', 'ask_low', 'min(t.ask)', 'min(b.ask_low)'),
    ('quote', 'ask_close', 'public.last(t.ask, t.time)', 'public.last(b.ask_close, b.bucket)'),
    ('quote', 'bid_volume', 'sum(t.bid_volume)', 'sum(b.bid_volume)'),
    ('quote', 'ask_volume', 'sum(t.ask_volume)', 'sum(b.ask_volume)'),
    ('quote', 'ticks', 'count(*)', 'sum(b.ticks)::bigint');
SELECT candleworks.create_candles('quote');
