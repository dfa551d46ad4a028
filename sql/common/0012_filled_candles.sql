-- Known holes in the feeds, and candles without holes: every bucket says whether it was traded and, if not, why not.
-- Locks: none, everything is new.

-- Times in which ticks may have been missed. symbol is null when every symbol may be affected; ended_at is null while
-- the hole is open; filled_at tells when its ticks were fetched afterwards.
CREATE TABLE public.feed_gaps (
    feed text NOT NULL,
    symbol text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    reason text NOT NULL,
    filled_at timestamptz,
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    CHECK (ended_at >= started_at),
    CHECK (filled_at IS NULL OR ended_at IS NOT NULL)
);
CREATE INDEX feed_gaps_started_at ON public.feed_gaps (started_at);
CREATE INDEX feed_gaps_unfilled ON public.feed_gaps (started_at) WHERE filled_at IS NULL;
-- A feed has one open hole per symbol, and one for all symbols.
CREATE UNIQUE INDEX feed_gaps_open ON public.feed_gaps (feed, coalesce(symbol, '')) WHERE ended_at IS NULL;

-- The unfilled holes that touch [start, stop) and concern the symbol.
CREATE FUNCTION candleworks.down_times(wanted text, start timestamptz, stop timestamptz) RETURNS tstzmultirange
LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(range_agg(tstzrange(g.started_at, g.ended_at)), '{}')
    FROM public.feed_gaps g
    WHERE g.filled_at IS NULL AND g.started_at < stop AND (g.ended_at > start OR g.ended_at IS NULL)
        AND (g.symbol = wanted OR g.symbol IS NULL)
$$;

-- The regular hours of a calendar that touch [start, stop), breaks left out.
CREATE FUNCTION candleworks.open_times(wanted text, start timestamptz, stop timestamptz) RETURNS tstzmultirange
LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN wanted = '24/7' THEN '{(,)}' ELSE
        coalesce(range_agg(tstzrange(s.open_at, s.close_at)), '{}')
        - coalesce(range_agg(tstzrange(s.break_start, s.break_end)) FILTER (WHERE s.break_start IS NOT NULL), '{}')
    END
    FROM candleworks.sessions s
    WHERE s.calendar = wanted AND s.open_at < stop AND s.close_at > start
$$;

-- The close of the last candle before a moment on a minute's boundary, null when there is none. Reads at most one day
-- of minutes and the daily candles before it, so it costs the same where the symbol was silent for years.
CREATE FUNCTION candleworks.last_close_before(wanted text, moment timestamptz) RETURNS double precision
LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(
        (SELECT c.close FROM public.candles_1m c
         WHERE c.symbol = wanted AND c.bucket >= public.time_bucket('1 day', moment) AND c.bucket < moment
         ORDER BY c.bucket DESC LIMIT 1),
        (SELECT c.close FROM public.candles_1d c
         WHERE c.symbol = wanted AND c.bucket < public.time_bucket('1 day', moment)
         ORDER BY c.bucket DESC LIMIT 1)
    )
$$;

-- How many buckets a call asks for; refuses more than 100,000, and periods that are no multiple of a minute.
CREATE FUNCTION candleworks.count_buckets(period interval, start timestamptz, stop timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    buckets numeric := CASE WHEN candleworks.level_for(period) IS NOT NULL THEN ceil(
        (extract(epoch FROM stop) - extract(epoch FROM start)) / extract(epoch FROM period)
    ) END;
BEGIN
    IF buckets > 100000 THEN
        RAISE EXCEPTION 'candles_filled: the range holds % buckets of %, at most 100000 are returned: ask for a shorter range or a longer period.',
            buckets, period USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN buckets;
END $$;

-- Every bucket of `period` that holds any moment of ["from", "to") and has begun, all of them whole, oldest first; a "to"
-- of null stands for now.
-- status: traded (has ticks), down (an unfilled hole of the feed touches it), closed (no part of it lies in a session),
-- quiet. Where there are no ticks volume and ticks are 0, and the prices null, or with `carry` the last close before.
CREATE FUNCTION public.candles_filled(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, carry boolean DEFAULT false
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, status text
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    stop timestamptz := least("to", now() + interval '1 microsecond');
    start timestamptz;
    calendar text := candleworks.calendar_of(symbol);
    open_times tstzmultirange;
    down_times tstzmultirange;
    before double precision;
BEGIN
    IF candleworks.count_buckets(period, coalesce("from", '-infinity'), stop) <= 0 THEN
        RETURN;
    END IF;
    start := public.time_bucket(period, "from");
    PERFORM candleworks.require_sessions(calendar, start), candleworks.require_sessions(calendar, stop);
    open_times := candleworks.open_times(calendar, start, stop + period);
    down_times := candleworks.down_times(symbol, start, stop + period);
    IF carry THEN
        before := candleworks.last_close_before(symbol, start);
    END IF;
    RETURN QUERY
    WITH grid AS (
        -- In plain timestamps: with a time zone, days and months would be those of the reader's zone.
        SELECT g.moment AT TIME ZONE 'UTC' AS bucket,
            tstzrange(g.moment AT TIME ZONE 'UTC', (g.moment + period) AT TIME ZONE 'UTC') AS span
        FROM generate_series(
            start AT TIME ZONE 'UTC', (stop - interval '1 microsecond') AT TIME ZONE 'UTC', period
        ) g(moment)
    ), candles AS (
        SELECT g.bucket, g.span, c.open, c.high, c.low, c.close, c.volume, c.ticks,
            count(c.ticks) OVER (ORDER BY g.bucket) AS candles_so_far
        FROM grid g
        LEFT JOIN public.ohlc(symbol, period, start, stop) c ON c.time = g.bucket
    ), carried AS (
        SELECT *, CASE WHEN carry THEN coalesce(
            first_value(close) OVER (PARTITION BY candles_so_far ORDER BY bucket), before
        ) END AS last_close
        FROM candles
    )
    SELECT bucket,
        coalesce(open, last_close), coalesce(high, last_close), coalesce(low, last_close), coalesce(close, last_close),
        CASE WHEN ticks IS NULL THEN 0 ELSE volume END,
        coalesce(ticks, 0),
        CASE
            WHEN ticks IS NOT NULL THEN 'traded'
            WHEN down_times && span THEN 'down'
            WHEN open_times && span THEN 'quiet'
            ELSE 'closed'
        END
    FROM carried
    ORDER BY bucket;
END $$;
