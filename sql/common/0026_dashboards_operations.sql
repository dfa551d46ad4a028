-- What the dashboards of the feeds and of storage ask. Quality is asked of the public tables.
-- Locks: none, everything is new.

-- The names of the feeds, one index probe each.
CREATE VIEW dashboards.feeds AS
WITH RECURSIVE named AS (
    SELECT min(i.feed) AS feed FROM public.ingest_stats i
    UNION ALL
    SELECT (SELECT min(i.feed) FROM public.ingest_stats i WHERE i.feed > h.feed) FROM named h WHERE h.feed IS NOT NULL
)
SELECT h.feed FROM named h WHERE h.feed IS NOT NULL
UNION
SELECT s.feed FROM public.feed_symbols s;

-- The symbols that a feed is asked for, and how long each has been silent while its market was open. age_seconds is the
-- age of the newest tick; silent_seconds counts from the newest tick, from the start of the present session or from
-- when the symbol was asked for, whichever is latest, and is null while the market is closed or the feed is stopped:
-- the status is then 'stopped by an operator'. Older ticks than seven days are not looked for: without that bound every
-- chunk is opened (200 ms instead of 60 for 50 symbols and 30 days). OFFSET 0 keeps what is used twice from being
-- computed twice, and only the newest session that has begun can be open.
CREATE FUNCTION dashboards.silence(moment timestamptz) RETURNS TABLE (
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

-- How far the stored candles of every level reach, up to which moment they should, and by how many seconds they are
-- behind: what ended before the newest tick is stored within seconds while somebody refreshes.
CREATE FUNCTION dashboards.watermarks() RETURNS TABLE (
    label text, width interval, stored_until timestamptz, due_until timestamptz, behind_seconds double precision
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    level record;
    newest timestamptz;
BEGIN
    FOR level IN
        SELECT r.label, r.width, r.relation, r.of_ticks, f.ticks, f.prefix
        FROM candleworks.candle_relations r JOIN candleworks.candle_families f ON f.name = r.family
        ORDER BY r.family DESC, r.width
    LOOP
        IF level.of_ticks THEN
            EXECUTE format($sql$
                SELECT max(t.time) FROM public.%1$I d
                CROSS JOIN LATERAL (
                    SELECT time FROM public.%2$I t WHERE t.symbol = d.symbol AND t.time >= d.bucket
                    ORDER BY t.time DESC LIMIT 1
                ) t
                WHERE d.bucket = (SELECT max(bucket) FROM public.%1$I)
            $sql$, level.prefix || 'candles_1d', level.ticks) INTO newest;
        END IF;
        CONTINUE WHEN newest IS NULL;
        label := level.label;
        width := level.width;
        stored_until := dashboards.stored_until(level.relation);
        due_until := public.time_bucket(level.width, newest);
        behind_seconds := coalesce(
            greatest(extract(epoch FROM due_until - stored_until), 0), extract(epoch FROM now() - due_until)
        );
        RETURN NEXT;
    END LOOP;
END $$;

-- Where the ticks of a table begin because older ones were dropped.
CREATE VIEW dashboards.retention AS
SELECT h.relation, h.dropped_before FROM candleworks.retention_horizons h;

-- Everything that is stored: its size, what compression made of its compressed parts, and what a day adds: the seven
-- newest parts that are over, by the length of time they hold.
CREATE FUNCTION dashboards.storage() RETURNS TABLE (
    relation text, bytes bigint, rows bigint, compressed_from bigint, compressed_to bigint, bytes_per_day double precision,
    oldest timestamptz
)
LANGUAGE sql STABLE AS $$
    SELECT p.relation, sum(p.bytes)::bigint, sum(p.rows)::bigint, sum(p.bytes_before)::bigint,
        sum(p.bytes) FILTER (WHERE p.bytes_before IS NOT NULL)::bigint,
        (
            sum(p.bytes) FILTER (WHERE p.recent <= 7) * 86400
            / nullif(extract(epoch FROM sum(p.ends_at - p.starts_at) FILTER (WHERE p.recent <= 7)), 0)
        )::double precision,
        min(p.starts_at)
    FROM (
        SELECT q.*, CASE WHEN q.ends_at <= now() THEN row_number() OVER (
            PARTITION BY q.relation, q.ends_at <= now() ORDER BY q.ends_at DESC
        ) END AS recent
        FROM dashboards.parts() q
    ) p
    GROUP BY p.relation
$$;

-- Where the role of the dashboards is there already, it may read all of this.
SELECT candleworks.set_up_reader();
