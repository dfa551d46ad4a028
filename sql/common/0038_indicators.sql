-- What indicators are computed with: candles with those before the range, and functions over series of numbers. The
-- indicators themselves are in 0039; docs/decisions/0060-indicators.md says why they are written this way.
-- Locks: none, everything is new.
CREATE SCHEMA indicators;
COMMENT ON SCHEMA indicators IS 'Technical indicators over candles: docs/reference/indicators.md.';
GRANT USAGE ON SCHEMA indicators TO PUBLIC;

-- Candles in columns, oldest first: those of a range, and some from before it.
CREATE TYPE candleworks.candle_series AS (
    first_shown timestamptz, -- the first bucket of the range
    buckets timestamptz[],
    high double precision[],
    low double precision[],
    close double precision[],
    volume double precision[]
);

-- Refuses a parameter outside of its bounds.
CREATE FUNCTION candleworks.require_between(
    indicator text, parameter text, value double precision, minimum double precision, maximum double precision
) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR NOT value BETWEEN minimum AND maximum THEN
        RAISE EXCEPTION 'indicators.%: the % is %, it must be from % to %.', indicator, parameter,
            coalesce(value::text, 'NULL'), minimum, maximum USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

CREATE FUNCTION candleworks.require_length(indicator text, parameter text, value integer) RETURNS void
LANGUAGE sql IMMUTABLE
RETURN candleworks.require_between(indicator, parameter, value, 1, 10000);

-- After how many candles the start of a smoothed average weighs less than 1e-15, which is less than a double can hold.
CREATE FUNCTION candleworks.settling_candles(weight double precision) RETURNS integer
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN weight < 1 THEN ceil(ln(1e-15) / ln(1 - weight)) ELSE 0 END;

-- The day of the symbol's first candle, null without one before `stop`, which keeps out what is not stored yet.
CREATE FUNCTION candleworks.first_candle_day(symbol text, price text, stop timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    found timestamptz;
BEGIN
    EXECUTE format('SELECT min(d.bucket) FROM public.%I d WHERE d.symbol = $1 AND d.bucket < $2',
        candleworks.relation_of(symbol, side.prefix, '1d'))
    INTO found USING symbol, stop;
    RETURN found;
END $$;

-- Where to read from, so that there are so many candles before `start`, which begins one; where history has fewer, before
-- its first one. How far back they reach is unknown, because markets close: the search widens until it finds them. Periods
-- below a minute are read from ticks, for seven days at most.
CREATE FUNCTION candleworks.start_of_warm_up(
    symbol text, period interval, start timestamptz, stop timestamptz, price text, zone text, candles integer
) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    seconds double precision := extract(epoch FROM period) * candles * 1.5;
    earliest timestamptz := CASE WHEN period < interval '1 minute'
        THEN least(stop, now() + interval '1 minute') - interval '7 days' END;
    since timestamptz;
    found timestamptz;
    reads integer := 0;
BEGIN
    LOOP
        reads := reads + 1;
        since := greatest(start - make_interval(secs => least(seconds, 3e9)), earliest);
        SELECT c.bucket INTO found FROM public.ohlc(symbol, period, since, start, price, zone) c
        ORDER BY c.bucket DESC OFFSET candles - 1 LIMIT 1;
        IF found IS NULL AND reads > 1 THEN
            earliest := coalesce(earliest, candleworks.first_candle_day(symbol, price, start), start);
        END IF;
        EXIT WHEN found IS NOT NULL OR since <= earliest;
        -- The second read passes a long weekend; of ticks it would be too much.
        seconds := greatest(seconds * 8, CASE WHEN period >= interval '1 minute' THEN 345600 END);
    END LOOP;
    RETURN coalesce(found, since);
END $$;

-- The candles of ["from", "to"), and at least so many before them where there are as many.
CREATE FUNCTION candleworks.series_of(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text, zone text, candles integer
) RETURNS candleworks.candle_series
LANGUAGE plpgsql STABLE AS $$
DECLARE
    first_shown timestamptz := coalesce(candleworks.bucket_start("from", period, zone), '-infinity');
    since timestamptz := "from";
    found candleworks.candle_series;
BEGIN
    IF isfinite(first_shown) AND candles > 0 THEN
        since := candleworks.start_of_warm_up(
            symbol, period, first_shown, coalesce("to", 'infinity'), price, zone, candles);
    END IF;
    SELECT first_shown, coalesce(array_agg(c.bucket), '{}'), coalesce(array_agg(c.high), '{}'),
        coalesce(array_agg(c.low), '{}'), coalesce(array_agg(c.close), '{}'), coalesce(array_agg(c.volume), '{}')
    INTO found
    FROM public.ohlc(symbol, period, since, "to", price, zone) c;
    RETURN found;
END $$;

-- The functions below take a series of numbers and return one of the same length, null where it is not defined yet. Loops,
-- because they pass once: 20,000 numbers in 5 to 25 ms, while avg() and max() over a window add up and compare every window
-- anew (a window of 200: 350 ms). Elements are read one by one, because a slice copies the whole array.

-- The mean of the last `length` numbers, null where one of them is. Sums begin anew every `length` numbers, so that
-- rounding errors do not add up.
CREATE FUNCTION candleworks.moving_mean(series double precision[], length integer) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    means double precision[] := array_fill(NULL::double precision, ARRAY[cardinality(series)]);
    known integer := 0;
    total double precision := 0;
BEGIN
    FOR i IN 1 .. cardinality(means) LOOP
        IF series[i] IS NULL THEN
            known := 0;
            total := 0;
            CONTINUE;
        END IF;
        known := known + 1;
        IF known % length = 0 THEN
            total := 0;
            FOR j IN i - length + 1 .. i LOOP
                total := total + series[j];
            END LOOP;
        ELSIF known > length THEN
            total := total + series[i] - series[i - length];
        ELSE
            total := total + series[i];
        END IF;
        IF known >= length THEN
            means[i] := total / length;
        END IF;
    END LOOP;
    RETURN means;
END $$;

-- The mean of the last `length` numbers weighted by 1, 2, ... `length`, the newest the most: the weighted sum grows by
-- `length` times what is new, and loses the plain sum of the window before.
CREATE FUNCTION candleworks.moving_weighted_mean(series double precision[], length integer) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    means double precision[] := array_fill(NULL::double precision, ARRAY[cardinality(series)]);
    weights double precision := length * (length + 1.0) / 2;
    total double precision := 0;
    weighted double precision := 0;
BEGIN
    FOR i IN 1 .. cardinality(means) LOOP
        IF i % length = 0 THEN
            total := 0;
            weighted := 0;
            FOR j IN 1 .. length LOOP
                total := total + series[i - length + j];
                weighted := weighted + j * series[i - length + j];
            END LOOP;
        ELSE
            weighted := weighted + length * series[i] - total;
            total := total + series[i] - CASE WHEN i > length THEN series[i - length] ELSE 0 END;
        END IF;
        IF i >= length THEN
            means[i] := weighted / weights;
        END IF;
    END LOOP;
    RETURN means;
END $$;

-- An average that moves by `weight` of the way to each number. It begins with the mean of `length` numbers: the first
-- ones after the nulls that the series begins with, or those up to the place `seed`.
CREATE FUNCTION candleworks.smoothed(
    series double precision[], length integer, weight double precision, seed integer DEFAULT NULL
) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    averages double precision[] := array_fill(NULL::double precision, ARRAY[cardinality(series)]);
    begins integer := coalesce(seed, length + num_nulls(VARIADIC series));
    average double precision;
BEGIN
    IF begins > cardinality(averages) THEN
        RETURN averages;
    END IF;
    SELECT sum(n) / length INTO average FROM unnest(series[begins - length + 1 : begins]) n;
    averages[begins] := average;
    FOR i IN begins + 1 .. cardinality(averages) LOOP
        average := average + weight * (series[i] - average);
        averages[i] := average;
    END LOOP;
    RETURN averages;
END $$;

-- The greatest of the last `length` numbers, or the least for a sign of -1: the greater of the greatest since a block of
-- `length` numbers began, and of the greatest from the window's start to the end of the block before (van Herk 1992).
CREATE FUNCTION candleworks.moving_extreme(series double precision[], length integer, sign integer)
RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    extremes double precision[] := array_fill(NULL::double precision, ARRAY[cardinality(series)]);
    to_block_end double precision[] := extremes;
    running double precision;
BEGIN
    FOR i IN REVERSE cardinality(extremes) .. 1 LOOP
        running := CASE WHEN i % length = 0 THEN sign * series[i] ELSE greatest(running, sign * series[i]) END;
        to_block_end[i] := running;
    END LOOP;
    FOR i IN 1 .. cardinality(extremes) LOOP
        running := CASE WHEN (i - 1) % length = 0 THEN sign * series[i] ELSE greatest(running, sign * series[i]) END;
        IF i >= length THEN
            extremes[i] := sign * greatest(running, to_block_end[i - length + 1]);
        END IF;
    END LOOP;
    RETURN extremes;
END $$;

-- The population standard deviation of the last `length` numbers, exactly 0 where they are equal. Squares are of distances
-- from a number of the window, and summed anew every `length` numbers: of squared prices nothing would be left after the
-- difference of large sums.
CREATE FUNCTION candleworks.moving_deviation(series double precision[], length integer) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    deviations double precision[] := array_fill(NULL::double precision, ARRAY[cardinality(series)]);
    base double precision := series[1];
    equal integer := 0; -- numbers that are the same up to here
    distance double precision;
    total double precision := 0;
    squares double precision := 0;
BEGIN
    FOR i IN 1 .. cardinality(deviations) LOOP
        equal := CASE WHEN series[i] = series[i - 1] THEN equal + 1 ELSE 1 END;
        IF i % length = 0 THEN
            base := series[i];
            total := 0;
            squares := 0;
            FOR j IN i - length + 1 .. i LOOP
                distance := series[j] - base;
                total := total + distance;
                squares := squares + distance * distance;
            END LOOP;
        ELSE
            distance := series[i] - base;
            total := total + distance;
            squares := squares + distance * distance;
            IF i > length THEN
                distance := series[i - length] - base;
                total := total - distance;
                squares := squares - distance * distance;
            END IF;
        END IF;
        IF i >= length THEN
            deviations[i] := CASE WHEN equal >= length THEN 0
                ELSE sqrt(greatest(squares / length - (total / length) ^ 2, 0)) END;
        END IF;
    END LOOP;
    RETURN deviations;
END $$;

-- The change from each number to the next: null for the first.
CREATE FUNCTION candleworks.changes(series double precision[]) RETURNS double precision[]
LANGUAGE sql IMMUTABLE
RETURN (
    SELECT coalesce(array_agg(c.change ORDER BY c.place), '{}') FROM (
        SELECT n.place, n.number - lag(n.number) OVER (ORDER BY n.place) AS change
        FROM unnest(series) WITH ORDINALITY n(number, place)
    ) c
);

-- How far prices ranged from each candle to the next, the gap between them included: null for the first (Wilder 1978).
CREATE FUNCTION candleworks.true_ranges(candles candleworks.candle_series) RETURNS double precision[]
LANGUAGE sql IMMUTABLE
RETURN (
    SELECT coalesce(array_agg(
        CASE WHEN r.before IS NOT NULL THEN greatest(r.high, r.before) - least(r.low, r.before) END ORDER BY r.place
    ), '{}')
    FROM (
        SELECT c.place, c.high, c.low, lag(c.close) OVER (ORDER BY c.place) AS before
        FROM unnest(candles.high, candles.low, candles.close) WITH ORDINALITY c(high, low, close, place)
    ) r
);

-- When the trading days begin that cover [start, stop): with the session, where it opens the evening before its date, else
-- at midnight of the exchange. Without a calendar the days are those of UTC, as those of 24/7.
CREATE FUNCTION candleworks.trading_day_starts(symbol text, start timestamptz, stop timestamptz) RETURNS timestamptz[]
LANGUAGE sql STABLE AS $$
    SELECT array_agg(d.moment ORDER BY d.moment) FROM (
        SELECT s.open_at AS moment
        FROM candleworks.sessions s JOIN candleworks.calendars c ON c.name = s.calendar
        WHERE s.calendar = candleworks.calendar_name(symbol) AND s.open_at >= start - interval '4 days' AND s.open_at < stop
            AND (s.open_at AT TIME ZONE coalesce(c.zone, 'UTC'))::date <> s.session
        UNION
        SELECT m.moment
        FROM (
            SELECT n.name, coalesce(c.zone, 'UTC') AS zone
            FROM (SELECT candleworks.calendar_name(symbol) AS name) n
            LEFT JOIN candleworks.calendars c ON c.name = n.name
        ) z
        CROSS JOIN LATERAL generate_series(
            date_trunc('day', start AT TIME ZONE z.zone) - interval '4 days', stop AT TIME ZONE z.zone, interval '1 day'
        ) g(local)
        CROSS JOIN LATERAL (SELECT g.local AT TIME ZONE z.zone AS moment) m
        WHERE NOT EXISTS (
            SELECT FROM candleworks.sessions s
            WHERE s.calendar = z.name AND s.open_at < m.moment AND s.open_at > m.moment - interval '4 days'
                AND s.close_at > m.moment
        )
    ) d
$$;
