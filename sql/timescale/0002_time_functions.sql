-- TimescaleDB brings time_bucket(), first() and last() itself.
-- Locks: none worth naming.
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- How candles select the first and the last of several values, as text. Continuous aggregates know no ordered aggregates.
-- last_known_of() leaves out null values.
CREATE FUNCTION candleworks.first_of(value text, at text) RETURNS text
LANGUAGE sql IMMUTABLE RETURN format('public.first(%s, %s)', value, at);
CREATE FUNCTION candleworks.last_of(value text, at text) RETURNS text
LANGUAGE sql IMMUTABLE RETURN format('public.last(%s, %s)', value, at);
CREATE FUNCTION candleworks.last_known_of(value text, at text) RETURNS text
LANGUAGE sql IMMUTABLE RETURN format('public.last(%1$s, %2$s) FILTER (WHERE %1$s IS NOT NULL)', value, at);
