-- The functions that TimescaleDB's tutorial uses, so that the same SQL runs without TimescaleDB. Where TimescaleDB is there
-- under its Apache licence, it brings them itself.
-- Locks: none, everything is new.

-- Start of the bucket that holds ts. Origins are TimescaleDB's: Monday 2000-01-03 00:00 UTC, and for widths in months
-- or years 2000-01-01. A width that mixes months with shorter units is refused by date_bin. The session's time zone has
-- no influence: a day is 24 hours of UTC.
DO $$
BEGIN
    IF to_regprocedure('public.time_bucket(interval, timestamptz)') IS NULL THEN
        CREATE FUNCTION public.time_bucket(bucket_width interval, ts timestamptz) RETURNS timestamptz
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        RETURN CASE
            WHEN NOT isfinite(ts) THEN ts
            WHEN bucket_width >= interval '1 month' AND bucket_width = date_trunc('month', bucket_width)
            THEN (
                timestamp '2000-01-01' + make_interval(months => (
                    extract(year FROM bucket_width) * 12 + extract(month FROM bucket_width)
                )::integer * floor(
                    ((extract(year FROM ts AT TIME ZONE 'UTC') - 2000) * 12 + extract(month FROM ts AT TIME ZONE 'UTC') - 1)
                    / (extract(year FROM bucket_width) * 12 + extract(month FROM bucket_width))
                )::integer)
            ) AT TIME ZONE 'UTC'
            ELSE date_bin(bucket_width, ts, timestamptz '2000-01-03 00:00:00+00')
        END;
        COMMENT ON FUNCTION public.time_bucket IS
            'Start of the bucket that holds ts, as TimescaleDB computes it: counted from Monday 2000-01-03 00:00 UTC, and for'
            ' widths of months or years from 2000-01-01.';
    END IF;
END $$;

-- first(value, time) and last(value, time): the value at the earliest and at the latest time; among equal times the
-- first one seen. Rows whose time is null are ignored, null values are not, as in TimescaleDB. PostgreSQL needs one
-- aggregate per value type, because a polymorphic state that also holds a time cannot be declared.
DO $$
DECLARE
    value_type text;
    state text;
BEGIN
    IF to_regprocedure('public.first(anyelement, "any")') IS NOT NULL THEN
        RETURN;
    END IF;
    FOREACH value_type IN ARRAY ARRAY['double precision', 'numeric', 'bigint', 'integer', 'text', 'timestamptz'] LOOP
        state := 'candleworks.' || quote_ident('value_at_' || replace(value_type, ' ', '_'));
        EXECUTE format('CREATE TYPE %s AS (value %s, at timestamptz)', state, value_type);
        EXECUTE format(
            'CREATE FUNCTION candleworks.keep_first(state %1$s, value %2$s, at timestamptz) RETURNS %1$s
             LANGUAGE sql IMMUTABLE PARALLEL SAFE
             RETURN CASE WHEN at IS NULL OR at >= (state).at THEN state ELSE ROW(value, at)::%1$s END', state, value_type);
        EXECUTE format(
            'CREATE FUNCTION candleworks.keep_last(state %1$s, value %2$s, at timestamptz) RETURNS %1$s
             LANGUAGE sql IMMUTABLE PARALLEL SAFE
             RETURN CASE WHEN at IS NULL OR at <= (state).at THEN state ELSE ROW(value, at)::%1$s END', state, value_type);
        EXECUTE format(
            'CREATE FUNCTION candleworks.earlier(one %1$s, other %1$s) RETURNS %1$s
             LANGUAGE sql IMMUTABLE PARALLEL SAFE
             RETURN CASE WHEN (one).at IS NULL OR (other).at < (one).at THEN other ELSE one END', state);
        EXECUTE format(
            'CREATE FUNCTION candleworks.later(one %1$s, other %1$s) RETURNS %1$s
             LANGUAGE sql IMMUTABLE PARALLEL SAFE
             RETURN CASE WHEN (one).at IS NULL OR (other).at > (one).at THEN other ELSE one END', state);
        EXECUTE format(
            'CREATE FUNCTION candleworks.value_of(state %1$s) RETURNS %2$s
             LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (state).value', state, value_type);
        EXECUTE format(
            'CREATE AGGREGATE public.first(%2$s, timestamptz) (SFUNC = candleworks.keep_first, STYPE = %1$s,
             FINALFUNC = candleworks.value_of, COMBINEFUNC = candleworks.earlier, PARALLEL = SAFE)', state, value_type);
        EXECUTE format(
            'CREATE AGGREGATE public.last(%2$s, timestamptz) (SFUNC = candleworks.keep_last, STYPE = %1$s,
             FINALFUNC = candleworks.value_of, COMBINEFUNC = candleworks.later, PARALLEL = SAFE)', state, value_type);
        EXECUTE format('COMMENT ON AGGREGATE public.first(%s, timestamptz) IS %L', value_type,
            'The value at the earliest time; rows without a time are ignored. TimescaleDB''s own where it is in use.');
        EXECUTE format('COMMENT ON AGGREGATE public.last(%s, timestamptz) IS %L', value_type,
            'The value at the latest time; rows without a time are ignored. TimescaleDB''s own where it is in use.');
    END LOOP;
END $$;

-- How candles select the first and the last of several values, as text: an ordered array_agg() is faster here than first()
-- and last(). last_known_of() leaves out null values.
CREATE FUNCTION candleworks.first_of(value text, at text) RETURNS text
LANGUAGE sql IMMUTABLE RETURN format('(array_agg(%s ORDER BY %s))[1]', value, at);
CREATE FUNCTION candleworks.last_of(value text, at text) RETURNS text
LANGUAGE sql IMMUTABLE RETURN format('(array_agg(%s ORDER BY %s))[count(*)]', value, at);
CREATE FUNCTION candleworks.last_known_of(value text, at text) RETURNS text
LANGUAGE sql IMMUTABLE RETURN format('(array_agg(%1$s ORDER BY %2$s) FILTER (WHERE %1$s IS NOT NULL))[count(%1$s)]', value, at);
