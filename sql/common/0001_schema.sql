-- Private tables and functions live in the schema "candleworks"; everything in "public" is the contract.
-- Locks: none, everything is new.
CREATE SCHEMA candleworks;
