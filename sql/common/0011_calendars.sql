-- Exchange calendars, and the regular-hours daily candle that follows from them. `candleworks migrate` and every
-- long-running command fill the tables from the configuration; docs/reference/calendars.md.
-- Locks: none, everything is new.

-- Which days a calendar's sessions are known for. `source` says what computed them, so that a newer one is noticed.
CREATE TABLE candleworks.calendars (
    name text PRIMARY KEY,
    first_day date NOT NULL,
    last_day date NOT NULL,
    source text NOT NULL,
    CHECK (first_day <= last_day)
);

-- Regular hours. A session never overlaps another one of its calendar. 24/7 is not here: its sessions are the UTC days.
CREATE TABLE candleworks.sessions (
    calendar text NOT NULL REFERENCES candleworks.calendars ON DELETE CASCADE,
    session date NOT NULL,
    open_at timestamptz NOT NULL,
    close_at timestamptz NOT NULL,
    break_start timestamptz,
    break_end timestamptz,
    PRIMARY KEY (calendar, open_at),
    UNIQUE (calendar, session),
    CHECK (open_at < close_at),
    CHECK (num_nulls(break_start, break_end) <> 1),
    CHECK (open_at < break_start AND break_start < break_end AND break_end < close_at),
    -- Candles of whole minutes can only be summed up to bounds on whole minutes.
    CHECK (
        extract(epoch FROM open_at) % 60 = 0 AND extract(epoch FROM close_at) % 60 = 0
        AND extract(epoch FROM coalesce(break_start, open_at)) % 60 = 0
        AND extract(epoch FROM coalesce(break_end, open_at)) % 60 = 0
    )
);

-- The configuration's say: one row per symbol named there, and '*' for the other symbols without a slash.
CREATE TABLE candleworks.calendar_rules (
    symbol text PRIMARY KEY,
    calendar text NOT NULL
);

-- Readers call the functions below as themselves.
GRANT SELECT ON candleworks.calendars, candleworks.sessions, candleworks.calendar_rules TO PUBLIC;

-- Whether both sides of a pair are money or precious metal, which trade from Sunday 17:00 to Friday 17:00 New York time.
CREATE FUNCTION candleworks.is_currency_pair(wanted text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT wanted ~ '^[A-Z]{3}/[A-Z]{3}$' AND string_to_array(wanted, '/') <@ ARRAY[
        'AED', 'AUD', 'BRL', 'CAD', 'CHF', 'CLP', 'CNH', 'CNY', 'COP', 'CZK', 'DKK', 'EUR', 'GBP', 'HKD', 'HUF', 'IDR',
        'ILS', 'INR', 'JPY', 'KRW', 'MXN', 'MYR', 'NOK', 'NZD', 'PEN', 'PHP', 'PLN', 'RON', 'RUB', 'SAR', 'SEK', 'SGD',
        'THB', 'TRY', 'TWD', 'USD', 'XAG', 'XAU', 'XPD', 'XPT', 'ZAR'
    ]
$$;

-- The calendar that a symbol follows: named in the configuration, else FX for currency pairs, around the clock for other
-- pairs, and that of stocks for the rest.
CREATE FUNCTION candleworks.calendar_of(wanted text) RETURNS text
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    found text := coalesce(
        (SELECT r.calendar FROM candleworks.calendar_rules r WHERE r.symbol = wanted),
        CASE WHEN candleworks.is_currency_pair(wanted) THEN 'FX' WHEN strpos(wanted, '/') > 0 THEN '24/7' END,
        (SELECT r.calendar FROM candleworks.calendar_rules r WHERE r.symbol = '*')
    );
BEGIN
    IF found IS NULL OR found <> '24/7' AND NOT EXISTS (SELECT FROM candleworks.calendars c WHERE c.name = found) THEN
        RAISE EXCEPTION 'No sessions are stored for the calendar of %: run candleworks migrate.', wanted
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN found;
END $$;

-- Refuses a moment that the calendar has no sessions for; they would be missing without a word.
CREATE FUNCTION candleworks.require_sessions(wanted text, moment timestamptz) RETURNS void
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    known candleworks.calendars;
BEGIN
    SELECT * INTO known FROM candleworks.calendars c WHERE c.name = wanted;
    IF moment < known.first_day::timestamp AT TIME ZONE 'UTC'
        OR moment >= (known.last_day + 1)::timestamp AT TIME ZONE 'UTC'
    THEN
        RAISE EXCEPTION 'The sessions of % are known from % to %, not on %: ask for a range inside, or run candleworks migrate, which adds newer ones.',
            wanted, known.first_day, known.last_day, (moment AT TIME ZONE 'UTC')::date
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
END $$;

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

-- For how many seconds of [start, stop) a calendar was open.
CREATE FUNCTION candleworks.open_seconds(wanted text, start timestamptz, stop timestamptz) RETURNS double precision
LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(sum(extract(epoch FROM upper(r.part) - lower(r.part))), 0)::double precision
    FROM unnest(CASE WHEN start < stop THEN
        candleworks.open_times(wanted, start, stop) * tstzmultirange(tstzrange(start, stop))
    END) r(part)
$$;

-- The coarsest level whose candles fill every session of the range exactly: 15m for New York, which is 15 times fewer
-- rows to read than 1m.
CREATE FUNCTION candleworks.level_for_sessions(wanted text, start timestamptz, stop timestamptz) RETURNS text
LANGUAGE sql STABLE STRICT AS $$
    SELECT l.name
    FROM candleworks.candle_levels l
    WHERE NOT EXISTS (
        SELECT
        FROM candleworks.sessions s
        CROSS JOIN LATERAL unnest(ARRAY[s.open_at, s.close_at, s.break_start, s.break_end]) b(bound)
        WHERE s.calendar = wanted AND s.open_at >= start AND s.open_at < stop
            AND extract(epoch FROM b.bound) % extract(epoch FROM l.width) <> 0
    )
    ORDER BY l.width DESC LIMIT 1
$$;

CREATE FUNCTION public.session_candles(symbol text, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    session date, open_at timestamptz, close_at timestamptz, open double precision, high double precision,
    low double precision, close double precision, volume double precision, vwap double precision, ticks bigint
)
LANGUAGE plpgsql STABLE ROWS 250 AS $$
DECLARE
    calendar text := candleworks.calendar_of(symbol);
    start timestamptz := coalesce("from", '-infinity');
    stop timestamptz := coalesce("to", 'infinity');
BEGIN
    IF calendar = '24/7' THEN
        RETURN QUERY
        SELECT (d.bucket AT TIME ZONE 'UTC')::date, d.bucket, d.bucket + interval '24 hours',
            d.open, d.high, d.low, d.close, d.volume, d.vwap, d.ticks
        FROM public.candles_1d d
        WHERE d.symbol = session_candles.symbol AND d.bucket >= start AND d.bucket < stop
        ORDER BY d.bucket;
        RETURN;
    END IF;
    PERFORM candleworks.require_sessions(calendar, d.bucket)
    FROM candleworks.calendars c
    JOIN public.candles_1d d ON d.bucket < c.first_day::timestamp AT TIME ZONE 'UTC'
        OR d.bucket >= (c.last_day + 1)::timestamp AT TIME ZONE 'UTC'
    WHERE c.name = calendar AND d.symbol = session_candles.symbol AND d.bucket >= start AND d.bucket < stop
        AND (start < c.first_day::timestamp AT TIME ZONE 'UTC'
            OR stop > (c.last_day + 1)::timestamp AT TIME ZONE 'UTC');
    -- Thousands of sessions from before the symbol's first tick would be looked into for nothing.
    IF start < stop - interval '4 years' THEN
        SELECT greatest(start, min(d.bucket) - interval '1 day'), least(stop, max(d.bucket) + interval '1 day')
        INTO start, stop
        FROM public.candles_1d d WHERE d.symbol = session_candles.symbol HAVING count(*) > 0;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        SELECT s.session, s.open_at, s.close_at, c.open, c.high, c.low, c.close, c.volume, c.vwap, c.ticks
        FROM candleworks.sessions s
        CROSS JOIN LATERAL (
            SELECT
                (array_agg(b.open ORDER BY b.bucket))[1] AS open,
                max(b.high) AS high,
                min(b.low) AS low,
                (array_agg(b.close ORDER BY b.bucket))[count(*)] AS close,
                sum(b.volume) AS volume,
                sum(b.vwap * b.volume) / nullif(sum(b.volume), 0) AS vwap,
                sum(b.ticks)::bigint AS ticks
            FROM public.%I b
            WHERE b.symbol = $1 AND b.bucket >= s.open_at AND b.bucket < s.close_at
                AND NOT (s.break_start IS NOT NULL AND b.bucket >= s.break_start AND b.bucket < s.break_end)
            HAVING count(*) > 0
        ) c
        WHERE s.calendar = $2 AND s.open_at >= $3 AND s.open_at < $4
        ORDER BY s.open_at
    $sql$, 'candles_' || candleworks.level_for_sessions(calendar, start, stop))
    USING symbol, calendar, start, stop;
END $$;
COMMENT ON FUNCTION public.session_candles IS
    'The regular-hours candle of each session that opens in ["from", "to") and has ticks, oldest first; null means no'
    ' bound. A tick belongs to a session from its open up to, not including, its close; ticks during a break belong'
    ' to none. volume and vwap are null where no tick has a volume.';
