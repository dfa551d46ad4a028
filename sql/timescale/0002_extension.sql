-- TimescaleDB brings time_bucket, first and last itself.
-- Locks: none worth naming.
CREATE EXTENSION IF NOT EXISTS timescaledb;
