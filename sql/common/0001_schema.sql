-- Private tables and functions live in the schema "candleworks"; everything in "public" is the contract.
-- Locks: none, everything is new.
CREATE SCHEMA candleworks;

-- Readers call the functions behind ohlc() as themselves; the tables stay private.
GRANT USAGE ON SCHEMA candleworks TO PUBLIC;

-- Ticks before these moments were dropped by retention. Candles older than that have no ticks to be computed from or
-- compared with, and stay as they are.
CREATE TABLE candleworks.retention_horizons (
    relation text PRIMARY KEY,
    dropped_before timestamptz NOT NULL
);
