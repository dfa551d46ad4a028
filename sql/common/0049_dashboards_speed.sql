-- What dashboards ask every few seconds costs less: the newest result of every check is kept beside the results, and
-- statements about candles are planned once in each connection, not each time.
-- Locks: SHARE ROW EXCLUSIVE on quality_results, for as long as its newest rows are looked up.

-- The newest result of every check and subject, and since when its status has been the same. Kept by triggers.
CREATE TABLE candleworks.quality_state (
    "check" text NOT NULL,
    subject text NOT NULL,
    result bigint NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY ("check", subject)
);
GRANT SELECT ON candleworks.quality_state TO PUBLIC;

-- The newest result of one subject, and since when its status has been the same; no row without any. A few index probes,
-- however long the history is.
CREATE FUNCTION candleworks.newest_result(wanted text, about text) RETURNS TABLE (result bigint, since timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT newest.id, (
        SELECT min(r.at) FROM public.quality_results r
        WHERE r."check" = wanted AND r.subject = about AND r.status = newest.status AND r.at > coalesce((
            SELECT max(last.at) FROM unnest(ARRAY['passed', 'failed', 'error']) other(status)
            CROSS JOIN LATERAL (
                SELECT max(o.at) AS at FROM public.quality_results o
                WHERE o."check" = wanted AND o.subject = about AND o.status = other.status
            ) last
            WHERE other.status <> newest.status
        ), '-infinity')
    )
    FROM (
        SELECT r.id, r.status FROM public.quality_results r
        WHERE r."check" = wanted AND r.subject = about ORDER BY r.at DESC, r.id DESC LIMIT 1
    ) newest
$$;

-- One transaction at a time: two that add results of the same subject would not see each other's.
CREATE FUNCTION candleworks.follow_quality_results() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE candleworks.quality_state IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO candleworks.quality_state ("check", subject, result, since)
    SELECT c."check", c.subject, n.result, n.since
    FROM (SELECT DISTINCT "check", subject FROM changed) c
    CROSS JOIN LATERAL candleworks.newest_result(c."check", c.subject) n
    ON CONFLICT ("check", subject) DO UPDATE SET result = excluded.result, since = excluded.since
    WHERE (quality_state.result, quality_state.since) IS DISTINCT FROM (excluded.result, excluded.since);
    DELETE FROM candleworks.quality_state s USING changed c
    WHERE s."check" = c."check" AND s.subject = c.subject AND NOT EXISTS (
        SELECT FROM public.quality_results r WHERE r."check" = s."check" AND r.subject = s.subject
    );
    RETURN NULL;
END $$;

CREATE TRIGGER follow_inserts AFTER INSERT ON public.quality_results
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION candleworks.follow_quality_results();
CREATE TRIGGER follow_deletes AFTER DELETE ON public.quality_results
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION candleworks.follow_quality_results();
CREATE TRIGGER follow_updates_from AFTER UPDATE ON public.quality_results
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION candleworks.follow_quality_results();
CREATE TRIGGER follow_updates_to AFTER UPDATE ON public.quality_results
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION candleworks.follow_quality_results();

INSERT INTO candleworks.quality_state ("check", subject, result, since)
SELECT q."check", q.subject, n.result, n.since
FROM candleworks.quality_now() q CROSS JOIN LATERAL candleworks.newest_result(q."check", q.subject) n;

-- The newest result of every check and subject, and since when its status has been the same.
CREATE OR REPLACE FUNCTION candleworks.quality_now() RETURNS TABLE (
    "check" text, subject text, suite text, severity text, status text, observed text, expected text, "window" tstzrange,
    sample jsonb, seconds double precision, at timestamptz, since timestamptz
)
LANGUAGE sql STABLE AS $$
    SELECT r."check", r.subject, r.suite, r.severity, r.status, r.observed, r.expected, r."window", r.sample, r.seconds, r.at,
        s.since
    FROM candleworks.quality_state s JOIN public.quality_results r ON r.id = s.result
$$;

-- The time of the newest tick of a family, trade or quote; null without any.
CREATE FUNCTION dashboards.newest_tick(family text) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF family = 'trade' THEN
        RETURN (
            SELECT max(t.time) FROM public.tick_candles_1d d
            CROSS JOIN LATERAL (
                SELECT t.time FROM public.stocks_real_time t WHERE t.symbol = d.symbol AND t.time >= d.bucket
                ORDER BY t.time DESC LIMIT 1
            ) t
            WHERE d.bucket = (SELECT max(bucket) FROM public.tick_candles_1d)
        );
    END IF;
    RETURN (
        SELECT max(t.time) FROM public.quote_candles_1d d
        CROSS JOIN LATERAL (
            SELECT t.time FROM public.quotes t WHERE t.symbol = d.symbol AND t.time >= d.bucket
            ORDER BY t.time DESC LIMIT 1
        ) t
        WHERE d.bucket = (SELECT max(bucket) FROM public.quote_candles_1d)
    );
END $$;

-- How far the stored candles of every level reach, up to which moment they should, and by how many seconds they are
-- behind: what ended before the newest tick is stored within seconds while somebody refreshes.
CREATE OR REPLACE FUNCTION dashboards.watermarks() RETURNS TABLE (
    label text, width interval, stored_until timestamptz, due_until timestamptz, behind_seconds double precision
)
LANGUAGE sql STABLE AS $$
    WITH newest AS MATERIALIZED (
        SELECT f.name AS family, dashboards.newest_tick(f.name) AS tick FROM candleworks.candle_families f
    )
    SELECT r.label, r.width, s.stored_until, d.until,
        coalesce(greatest(extract(epoch FROM d.until - s.stored_until), 0), extract(epoch FROM now() - d.until))
    FROM newest n
    JOIN candleworks.candle_relations r ON r.family = n.family
    LEFT JOIN dashboards.stored_levels() s ON s.relation = r.relation
    CROSS JOIN LATERAL (SELECT public.time_bucket(r.width, n.tick) AS until) d
    WHERE n.tick IS NOT NULL
    ORDER BY r.family DESC, r.width
$$;
DROP FUNCTION dashboards.stored_until(text);

-- Every symbol that was traded in the seven days before a moment, as it stood then: its last tick, the change against the
-- previous close, and the candle of its UTC day. `only_symbol` leaves one.
-- The previous close is the last price before the end of the last regular session that was over at the last tick; pairs
-- that trade around the clock end theirs at 00:00 UTC. Sought in the eight hours before that end, then in the 30 days.
CREATE OR REPLACE FUNCTION dashboards.prices(moment timestamptz, only_symbol text DEFAULT NULL) RETURNS TABLE (
    symbol text, name text, "time" timestamptz, price double precision, previous_close double precision,
    change double precision, change_percent double precision, high double precision, low double precision,
    volume double precision, vwap double precision, ticks bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    wanted text[] := CASE WHEN only_symbol IS NULL THEN ARRAY(
        SELECT DISTINCT d.symbol FROM public.tick_candles_1d d WHERE d.bucket > moment - interval '7 days' AND d.bucket <= moment
    ) ELSE ARRAY[only_symbol] END;
BEGIN
    RETURN QUERY
        SELECT d.symbol, k.name, t.time, t.price, p.close, t.price - p.close,
            100 * (t.price - p.close) / nullif(p.close, 0), d.high, d.low, d.volume, d.vwap, d.ticks
        FROM (
            SELECT DISTINCT ON (symbol) * FROM public.candles_1d
            WHERE bucket > moment - interval '7 days' AND bucket <= moment AND symbol = ANY(wanted)
            ORDER BY symbol, bucket DESC
        ) d
        CROSS JOIN LATERAL (
            SELECT time, price FROM public.stocks_real_time t
            WHERE t.symbol = d.symbol AND t.time >= d.bucket AND t.time <= moment ORDER BY t.time DESC LIMIT 1
        ) t
        CROSS JOIN LATERAL (SELECT candleworks.calendar_of(d.symbol) AS name) followed
        CROSS JOIN LATERAL (
            SELECT CASE WHEN followed.name = '24/7' THEN public.time_bucket('24 hours', t.time) ELSE (
                SELECT s.close_at FROM candleworks.sessions s
                WHERE s.calendar = followed.name AND s.open_at < t.time AND s.close_at <= t.time
                ORDER BY s.open_at DESC LIMIT 1
            ) END AS stop
        ) e
        LEFT JOIN LATERAL (
            SELECT c.close FROM public.candles_5m c
            WHERE c.symbol = d.symbol AND c.bucket >= e.stop - interval '8 hours' AND c.bucket < e.stop
            ORDER BY c.bucket DESC LIMIT 1
        ) h ON true
        LEFT JOIN LATERAL (
            SELECT c.close FROM public.candles_1d c
            WHERE h.close IS NULL AND c.symbol = d.symbol
                AND c.bucket >= e.stop - interval '30 days' AND c.bucket <= e.stop - interval '24 hours'
            ORDER BY c.bucket DESC LIMIT 1
        ) b ON true
        CROSS JOIN LATERAL (SELECT coalesce(h.close, b.close) AS close) p
        LEFT JOIN public.company k ON k.symbol = d.symbol;
END $$;

-- Each feed with its state, since when and why it is down, silent or stopped, its newest tick, for how long it has had none
-- in market hours (null while they are closed), and what it did in the last ten seconds that are complete.
CREATE OR REPLACE FUNCTION dashboards.feed_states(moment timestamptz) RETURNS TABLE (
    feed text, state text, since timestamptz, reason text, last_tick timestamptz, silent_seconds double precision,
    ticks_per_second double precision, lag_ms_p50 double precision, lag_ms_p99 double precision, spool_depth bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT f.feed, CASE
            WHEN stop.stopped_at IS NOT NULL THEN 'stopped'
            WHEN gap.reason = 'silent' AND running THEN 'silent'
            WHEN gap.reason IS NOT NULL OR NOT running THEN 'down'
            ELSE dashboards.tick_state(s.last_tick, s.in_session, s.silent_seconds, moment)
        END,
        CASE WHEN stop.stopped_at IS NOT NULL THEN stop.stopped_at WHEN running THEN gap.started_at
            ELSE least(gap.started_at, newest.at) END,
        CASE WHEN stop.stopped_at IS NOT NULL THEN stop.reason WHEN gap.reason IS NOT NULL THEN dashboards.gap_reason(gap.reason)
            WHEN NOT running THEN 'its process does not report' END,
        s.last_tick, s.silent_seconds, CASE WHEN running THEN coalesce(done.ticks, 0) / 10.0 END::double precision,
        done.lag_ms_p50, done.lag_ms_p99, newest.spool_depth
    FROM dashboards.feeds f
    LEFT JOIN LATERAL (
        SELECT i.at, i.spool_depth FROM public.ingest_stats i
        WHERE i.feed = f.feed AND i.at <= moment ORDER BY i.at DESC LIMIT 1
    ) newest ON true
    CROSS JOIN LATERAL (SELECT coalesce(newest.at >= moment - interval '30 seconds', false) AS running) r
    LEFT JOIN LATERAL (
        SELECT i.* FROM public.ingest_stats i
        WHERE i.feed = f.feed AND i.at > moment - interval '30 seconds' AND i.at <= moment - interval '10 seconds'
        ORDER BY i.at DESC LIMIT 1
    ) done ON true
    LEFT JOIN LATERAL (
        SELECT g.started_at, g.reason FROM public.feed_gaps g
        WHERE g.feed = f.feed AND g.symbol IS NULL AND g.ended_at IS NULL AND g.started_at <= moment
    ) gap ON true
    LEFT JOIN public.feed_stops stop ON stop.feed = f.feed AND stop.deliberate
    LEFT JOIN (
        SELECT y.feed, max(y.last_tick) AS last_tick, min(y.silent_seconds) AS silent_seconds, bool_or(y.in_session) AS in_session
        FROM dashboards.silence(moment) y GROUP BY y.feed
    ) s ON s.feed = f.feed;
END $$;

SELECT candleworks.set_up_reader();
