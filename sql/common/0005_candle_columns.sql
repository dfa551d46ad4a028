-- What candles there are and how they follow from ticks; the engine makes relations of it.
-- Locks: none, everything is new.

-- Days are 24 hours, because '1 day' follows the clock changes of the session's zone.
CREATE TABLE candleworks.candle_levels (
    name text PRIMARY KEY,
    width interval NOT NULL UNIQUE,
    below text REFERENCES candleworks.candle_levels
);
INSERT INTO candleworks.candle_levels (name, width, below) VALUES
    ('1m', '1 minute', NULL),
    ('5m', '5 minutes', '1m'),
    ('15m', '15 minutes', '5m'),
    ('1h', '1 hour', '15m'),
    ('4h', '4 hours', '1h'),
    ('1d', '24 hours', '4h');

-- The kinds of candles, by the table of their ticks; `prefix` stands before the names of their relations.
CREATE TABLE candleworks.candle_families (
    name text PRIMARY KEY,
    prefix text NOT NULL UNIQUE,
    ticks text NOT NULL
);
INSERT INTO candleworks.candle_families (name, prefix, ticks) VALUES
    ('trade', '', 'stocks_real_time'),
    ('quote', 'quote_', 'quotes');

-- What a candle has besides bucket and symbol, and how it follows from the ticks t and from the candles b of the level
-- below.
CREATE TABLE candleworks.candle_columns (
    family text NOT NULL REFERENCES candleworks.candle_families,
    position integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    type text NOT NULL,
    required boolean NOT NULL,
    of_ticks text NOT NULL,
    of_candles text NOT NULL,
    meaning text NOT NULL,
    PRIMARY KEY (family, name)
);

-- Prices are selected, never computed, so that the digits of the ticks survive.
INSERT INTO candleworks.candle_columns (family, name, type, required, of_ticks, of_candles, meaning) VALUES
    ('trade', 'open', 'double precision', true,
        candleworks.first_of('t.price', 't.time'), candleworks.first_of('b.open', 'b.bucket'), 'Price of the first tick.'),
    ('trade', 'high', 'double precision', true, 'max(t.price)', 'max(b.high)', 'Highest price.'),
    ('trade', 'low', 'double precision', true, 'min(t.price)', 'min(b.low)', 'Lowest price.'),
    ('trade', 'close', 'double precision', true,
        candleworks.last_of('t.price', 't.time'), candleworks.last_of('b.close', 'b.bucket'), 'Price of the last tick.'),
    ('trade', 'volume', 'double precision', false,
        'sum(t.volume)', 'sum(b.volume)', 'Sum of the volumes of the ticks. Null: no tick has one.'),
    ('trade', 'vwap', 'double precision', false,
        'sum(t.price * t.volume) / nullif(sum(t.volume), 0)', 'sum(b.vwap * b.volume) / nullif(sum(b.volume), 0)',
        'Volume-weighted average price. Null: no volume.'),
    ('trade', 'day_volume', 'double precision', false,
        candleworks.last_known_of('t.day_volume', 't.time'), candleworks.last_known_of('b.day_volume', 'b.bucket'),
        'Last known running total of the trading day. Null: no tick has one.'),
    ('trade', 'ticks', 'bigint', true, 'count(*)', 'sum(b.ticks)::bigint', 'Number of ticks.'),
    ('trade', 'rebuilt', 'boolean', true,
        'bool_or(t.origin = ''bar'')', 'bool_or(b.rebuilt)',
        'Whether a tick of the candle is rebuilt from a one-minute bar.'),
    ('quote', 'bid_open', 'double precision', true,
        candleworks.first_of('t.bid', 't.time'), candleworks.first_of('b.bid_open', 'b.bucket'), 'Bid of the first tick.'),
    ('quote', 'bid_high', 'double precision', true, 'max(t.bid)', 'max(b.bid_high)', 'Highest bid.'),
    ('quote', 'bid_low', 'double precision', true, 'min(t.bid)', 'min(b.bid_low)', 'Lowest bid.'),
    ('quote', 'bid_close', 'double precision', true,
        candleworks.last_of('t.bid', 't.time'), candleworks.last_of('b.bid_close', 'b.bucket'), 'Bid of the last tick.'),
    ('quote', 'ask_open', 'double precision', true,
        candleworks.first_of('t.ask', 't.time'), candleworks.first_of('b.ask_open', 'b.bucket'), 'Ask of the first tick.'),
    ('quote', 'ask_high', 'double precision', true, 'max(t.ask)', 'max(b.ask_high)', 'Highest ask.'),
    ('quote', 'ask_low', 'double precision', true, 'min(t.ask)', 'min(b.ask_low)', 'Lowest ask.'),
    ('quote', 'ask_close', 'double precision', true,
        candleworks.last_of('t.ask', 't.time'), candleworks.last_of('b.ask_close', 'b.bucket'), 'Ask of the last tick.'),
    ('quote', 'bid_volume', 'double precision', false,
        'sum(t.bid_volume)', 'sum(b.bid_volume)', 'Sum of the sizes at the bid. Null: no tick has one.'),
    ('quote', 'ask_volume', 'double precision', false,
        'sum(t.ask_volume)', 'sum(b.ask_volume)', 'Sum of the sizes at the ask. Null: no tick has one.'),
    ('quote', 'ticks', 'bigint', true, 'count(*)', 'sum(b.ticks)::bigint', 'Number of ticks.');

-- Readers call functions that look here as themselves; the names of the candle relations are no secret.
GRANT SELECT ON candleworks.candle_levels, candleworks.candle_families, candleworks.candle_columns TO PUBLIC;
