-- A feed that was stopped in order is known as such until it starts again, so that nobody is alarmed by its silence.
-- Locks: none, the table is new and the functions are replaced.

-- Written at the end of an orderly stop, deleted by the next start: after a crash there is no row. deliberate is false when
-- the feed ended with the process that looks after it, which starts it again: then its absence is a failure.
CREATE TABLE public.feed_stops (
    feed text PRIMARY KEY,
    stopped_at timestamptz NOT NULL,
    reason text NOT NULL,
    deliberate boolean NOT NULL
);
INSERT INTO candleworks.readable (relation) VALUES ('feed_stops');

-- Whether a person has stopped the feed and nobody has started it again.
CREATE FUNCTION candleworks.is_stopped(wanted text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM public.feed_stops s WHERE s.feed = wanted AND s.deliberate)
$$;

-- Every symbol that some feed streams or should, and since when at the longest.
CREATE OR REPLACE FUNCTION candleworks.subscribed_symbols() RETURNS TABLE (symbol text, since timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT s.symbol, min(s.since) FROM public.feed_symbols s
    WHERE s.status IN ('asked', 'streaming') AND NOT candleworks.is_stopped(s.feed) GROUP BY s.symbol
$$;

-- The symbols that a feed is asked for, and how long each has been silent while its market was open. age_seconds is the
-- age of the newest tick; silent_seconds counts from the newest tick, from the start of the present session or from
-- when the symbol was asked for, whichever is latest, and is null while the market is closed or the feed is stopped:
-- the status is then 'stopped by an operator'. Older ticks than seven days are not looked for: without that bound every
-- chunk is opened (200 ms instead of 60 for 50 symbols and 30 days). OFFSET 0 keeps what is used twice from being
-- computed twice, and only the newest session that has begun can be open.
CREATE OR REPLACE FUNCTION dashboards.silence(moment timestamptz) RETURNS TABLE (
    feed text, symbol text, status text, last_tick timestamptz, age_seconds double precision, in_session boolean,
    silent_seconds double precision
)
LANGUAGE sql STABLE AS $$
    SELECT f.feed, f.symbol, CASE WHEN stopped THEN 'stopped by an operator' ELSE f.status END, t.newest,
        extract(epoch FROM moment - t.newest)::double precision, s.open_since IS NOT NULL,
        extract(epoch FROM moment - greatest(t.newest, s.open_since, f.since))::double precision
            * CASE WHEN s.open_since IS NOT NULL AND NOT stopped THEN 1 END
    FROM public.feed_symbols f
    CROSS JOIN LATERAL (SELECT candleworks.is_stopped(f.feed) AS stopped) p
    CROSS JOIN LATERAL (SELECT candleworks.calendar_of(f.symbol) AS calendar OFFSET 0) c
    CROSS JOIN LATERAL (
        SELECT greatest(
            (SELECT t.time FROM public.stocks_real_time t
             WHERE t.symbol = f.symbol AND t.time <= moment AND t.time > moment - interval '7 days'
             ORDER BY t.time DESC LIMIT 1),
            (SELECT q.time FROM public.quotes q
             WHERE q.symbol = f.symbol AND q.time <= moment AND q.time > moment - interval '7 days'
             ORDER BY q.time DESC LIMIT 1)
        ) AS newest
        OFFSET 0
    ) t
    LEFT JOIN LATERAL (
        SELECT '-infinity'::timestamptz AS open_since WHERE c.calendar = '24/7'
        UNION ALL
        SELECT CASE WHEN moment >= begun.break_end THEN begun.break_end ELSE begun.open_at END
        FROM (
            SELECT * FROM candleworks.sessions s
            WHERE s.calendar = c.calendar AND s.open_at <= moment ORDER BY s.open_at DESC LIMIT 1
        ) begun
        WHERE begun.close_at > moment
            AND NOT (begun.break_start IS NOT NULL AND moment >= begun.break_start AND moment < begun.break_end)
    ) s ON true
    WHERE f.status IN ('asked', 'streaming')
$$;

DO $$
DECLARE
    problem text := candleworks.set_up_reader();
BEGIN
    IF problem IS NOT NULL THEN
        RAISE WARNING '%', problem USING ERRCODE = '01C01';
    END IF;
END $$;
