-- Private tables and functions live in the schema "candleworks"; everything in "public" is the contract.
-- Locks: none, everything is new.
CREATE SCHEMA candleworks;

-- Readers call the functions behind ohlc() as themselves; the tables stay private.
GRANT USAGE ON SCHEMA candleworks TO PUBLIC;
