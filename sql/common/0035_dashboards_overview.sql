-- Whether everything is all right, a line for each part of the platform.
-- Locks: none, everything is new.

-- A length of time as people say it: 40 s, 12 min, 5 h, 3 days.
CREATE FUNCTION dashboards.duration(seconds double precision) RETURNS text
LANGUAGE sql IMMUTABLE STRICT
RETURN CASE
    WHEN seconds < 120 THEN round(seconds) || ' s'
    WHEN seconds < 7200 THEN floor(seconds / 60) || ' min'
    WHEN seconds < 172800 THEN floor(seconds / 3600) || ' h'
    ELSE floor(seconds / 86400) || ' days'
END;

-- A number and its noun, which gets an s unless there is one: 1 check, 2 checks.
CREATE FUNCTION dashboards.counted(number bigint, noun text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT
RETURN number || ' ' || noun || CASE WHEN number = 1 THEN '' ELSE 's' END;

-- The state of each part: ok, warning, critical, or unknown while there is nothing to judge by; what there is to say about
-- it, the worst first; and the dashboard that shows more. A feed that is down or silent, candles that are ten minutes behind,
-- and firing critical alerts are critical, as they are for Grafana's own alert rules.
CREATE FUNCTION dashboards.overview(moment timestamptz) RETURNS TABLE (
    part text, state text, detail text, dashboard text
)
LANGUAGE sql STABLE AS $$
    WITH feeds AS (
        SELECT string_agg(
                CASE WHEN f.state IN ('down', 'silent', 'stopped') THEN concat(
                    f.feed, ' has been ', f.state, ' for ' || dashboards.duration(extract(epoch FROM moment - f.since)),
                    ': ' || f.reason
                ) ELSE concat_ws(', ', f.feed || ' is ' || f.state, round(f.ticks_per_second::numeric, 1) || ' ticks/s') END,
                '; ' ORDER BY array_position(ARRAY['down', 'silent', 'stopped', 'quiet'], f.state), f.feed
            ) AS detail,
            bool_or(f.state IN ('down', 'silent')) AS critical, bool_or(f.state IN ('stopped', 'quiet')) AS warning
        FROM dashboards.feed_states(moment) f
        WHERE EXISTS (
            SELECT FROM public.feed_symbols s WHERE s.feed = f.feed AND s.status IN ('asked', 'streaming')
        )
    ), levels AS (
        SELECT max(w.behind_seconds) AS behind, count(*) AS known,
            (array_agg(w.label ORDER BY w.behind_seconds DESC))[1] AS last
        FROM dashboards.watermarks() w
    ), differences AS (
        SELECT count(*) AS found FROM public.candle_differences d
        WHERE d.repaired_at IS NULL AND d.found_at > moment - interval '1 day'
    ), results AS MATERIALIZED (
        SELECT * FROM candleworks.quality_now()
    ), checks AS (
        SELECT count(*) AS known, count(*) FILTER (WHERE q.status <> 'passed') AS failing,
            count(*) FILTER (WHERE q.status <> 'passed' AND q.severity = 'critical') AS critical,
            extract(epoch FROM moment - max(q.at))::double precision AS age,
            (array_agg(concat_ws(' of ', q."check", q.subject) || ': ' || coalesce(q.observed, q.status) ORDER BY
                array_position(ARRAY['critical', 'warning', 'info'], q.severity), q.since
            ) FILTER (WHERE q.status <> 'passed'))[1] AS worst
        FROM results q
        WHERE q.status <> 'passed' OR q.at > moment - interval '2 days'
    ), alerts AS (
        SELECT count(*) FILTER (WHERE a.fires) AS firing,
            count(*) FILTER (WHERE a.fires AND a.severity = 'critical') AS critical,
            count(*) FILTER (WHERE a.status = 'acknowledged' AND NOT a.silenced) AS acknowledged,
            count(*) FILTER (WHERE a.silenced) AS silenced
        FROM (
            SELECT u.severity, u.status, coalesce(u.silenced_until > moment, false) AS silenced,
                u.status = 'open' AND coalesce(u.silenced_until <= moment, true) AS fires
            FROM public.alerts u WHERE u.resolved_at IS NULL
        ) a
    ), undelivered AS (
        SELECT count(*) AS notifications, max(d.reason) AS reason FROM public.alert_deliveries d
        WHERE d.state <> 'sent' AND d.attempts > 0 AND d.reason IS NOT NULL
    ), flows AS (
        SELECT count(*) AS known, sum(f.runs)::bigint AS runs, sum(f.failed)::bigint AS failed,
            string_agg(f.deployment, ', ' ORDER BY f.deployment) FILTER (WHERE f.schedule = 'late') AS late,
            string_agg(f.deployment, ', ' ORDER BY f.deployment) FILTER (WHERE f.status IN ('failed', 'crashed')) AS broken
        FROM dashboards.flows f
    ), disk AS (
        SELECT q.severity, q.observed FROM results q WHERE q."check" = 'disk' AND q.status = 'failed'
    )
    SELECT 'Feeds', CASE WHEN f.critical THEN 'critical' WHEN f.warning THEN 'warning' WHEN f.critical IS NULL THEN 'unknown'
            ELSE 'ok' END,
        coalesce(f.detail, 'no feed has run yet'), 'health'
    FROM feeds f
    UNION ALL
    SELECT 'Candles', CASE WHEN l.behind > 600 THEN 'critical' WHEN l.behind > 120 OR d.found > 0 THEN 'warning'
            WHEN l.known = 0 THEN 'unknown' ELSE 'ok' END,
        concat_ws('; ',
            CASE WHEN d.found > 0 THEN dashboards.counted(d.found, 'candle')
                || ' found since yesterday not to be what the ticks say: run candleworks candles audit --repair' END,
            CASE WHEN l.known = 0 THEN 'no candles yet'
                WHEN l.behind > 120 THEN format('the %s candles are %s behind the ticks', l.last, dashboards.duration(l.behind))
                ELSE 'every level is stored up to the newest ticks' END
        ), 'health'
    FROM levels l CROSS JOIN differences d
    UNION ALL
    SELECT 'Checks', CASE WHEN c.known = 0 THEN 'unknown' WHEN c.critical > 0 THEN 'critical'
            WHEN c.failing > 0 OR c.age > 7200 THEN 'warning' ELSE 'ok' END,
        CASE WHEN c.known = 0 THEN 'no check has run yet'
            WHEN c.failing > 0 THEN format('%s of %s do not pass; %s', c.failing, c.known, c.worst)
            WHEN c.age > 7200 THEN format('none has run for %s', dashboards.duration(c.age))
            ELSE format('all %s pass, the last ran %s ago', c.known, dashboards.duration(greatest(c.age, 0))) END, 'quality'
    FROM checks c
    UNION ALL
    SELECT 'Alerts', CASE WHEN a.critical > 0 THEN 'critical' WHEN a.firing > 0 OR u.notifications > 0 THEN 'warning' ELSE 'ok' END,
        concat_ws('; ',
            CASE WHEN u.notifications > 0
                THEN format('%s not delivered: %s', dashboards.counted(u.notifications, 'notification'), u.reason) END,
            CASE WHEN a.firing > 0 THEN concat(a.firing, ' firing', ', ' || nullif(a.critical, 0) || ' of them critical')
                ELSE 'none fires' END,
            nullif(a.acknowledged, 0) || ' acknowledged', nullif(a.silenced, 0) || ' silenced'
        ), 'quality'
    FROM alerts a CROSS JOIN undelivered u
    UNION ALL
    SELECT 'Flows', CASE WHEN f.known = 0 THEN 'unknown' WHEN f.late IS NOT NULL OR f.broken IS NOT NULL THEN 'warning' ELSE 'ok' END,
        CASE WHEN f.known = 0 THEN 'no worker has reported any' ELSE concat_ws('; ',
            'late: ' || f.late, 'last run failed: ' || f.broken,
            format('%s in 24 hours, %s', dashboards.counted(f.runs, 'run'), coalesce(nullif(f.failed, 0)::text, 'none') || ' failed')
        ) END, 'health'
    FROM flows f
    UNION ALL
    SELECT 'Storage', CASE WHEN d.severity = 'critical' THEN 'critical' WHEN d.severity IS NOT NULL THEN 'warning' ELSE 'ok' END,
        concat_ws('; ', d.observed, concat_ws(', ', pg_size_pretty(pg_database_size(current_database())) || ' in the database',
            'grows by ' || pg_size_pretty(dashboards.bytes_per_day()::bigint) || ' a day')), 'storage'
    FROM (VALUES (true)) always LEFT JOIN disk d ON true
$$;

SELECT candleworks.set_up_reader();
