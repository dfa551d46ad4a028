-- name: checked_until
SELECT "check", moment FROM candleworks.checked_until

-- name: save_checked_until
INSERT INTO candleworks.checked_until ("check", moment) VALUES (%(check)s, %(moment)s)
ON CONFLICT ("check") DO UPDATE SET moment = excluded.moment

-- name: symbols_in_window
-- How many new ticks there are of each symbol.
SELECT t.symbol, count(*)
FROM candleworks.new_ticks(%(received_from)s, %(received_until)s, %(time_from)s) t GROUP BY t.symbol

-- name: symbols_of_feeds
SELECT DISTINCT symbol FROM public.feed_symbols WHERE status <> 'removed'

-- name: recent_failures
-- Checks and subjects whose newest result did not pass, that failed within a day, or that have an unresolved alert: when they
-- pass, that is stored too. failing: the newest result did not pass. times: of the rows that failed last; null when they were
-- corrected or accepted, because the alert has been resolved since.
WITH failures AS (
    SELECT n."check", n.subject, true AS failing FROM candleworks.quality_now() n WHERE n.status <> 'passed'
    UNION ALL
    SELECT r."check", r.subject, false FROM public.quality_results r
    WHERE r.at > %(until)s::timestamptz - interval '1 day' AND r.status <> 'passed'
    UNION ALL
    SELECT a."check", a.subject, false FROM public.alerts a WHERE a.resolved_at IS NULL
)
SELECT t."check", t.subject, bool_or(t.failing) AS failing, f.times, f.at, f.expected
FROM failures t
LEFT JOIN LATERAL (
    SELECT r.at, r.expected, CASE WHEN NOT EXISTS (
        SELECT FROM public.alerts a WHERE a."check" = t."check" AND a.subject = t.subject AND a.resolved_at >= r.at
    ) THEN coalesce(r.failing, tstzmultirange(r."window")) END AS times
    FROM public.quality_results r
    WHERE r."check" = t."check" AND r.subject = t.subject AND r.status = 'failed' ORDER BY r.at DESC, r.id DESC LIMIT 1
) f ON true
GROUP BY t."check", t.subject, f.times, f.at, f.expected
ORDER BY t."check", t.subject

-- name: candle_repairs
-- How many candles of a symbol in a range the audit repaired since a time, and when the last.
SELECT count(*), max(d.repaired_at) FROM public.candle_differences d
WHERE d.symbol = %(symbol)s AND d.repaired_at > %(since)s AND d.bucket <@ tstzrange(%(start)s, %(stop)s)

-- name: ticks_to_recheck
SELECT t.* -- of the given times of symbols only
FROM candleworks.checked_ticks('infinity', 'infinity', 'infinity', %(rechecks)s) t

-- name: feeds_with_statistics
SELECT DISTINCT 'feed/' || s.feed FROM public.ingest_stats s WHERE s.at >= %(stats_from)s AND s.at < %(until)s

-- name: feeds_streaming
SELECT DISTINCT 'feed/' || s.feed FROM public.feed_symbols s WHERE s.status IN ('asked', 'streaming')

-- name: day_with_candles
-- The newest UTC day before a time that has candles; null where there is none.
SELECT max(c.bucket) FROM public.tick_candles_1d c WHERE c.bucket < %(before)s

-- name: ticks_of_symbols
-- How many ticks each symbol has in whole days, by its daily candles; also of those that have candles within a week of them
-- only, because one may be missing.
SELECT c.symbol,
    coalesce(sum(c.ticks) FILTER (WHERE c.bucket >= %(start)s AND c.bucket < %(stop)s), 0)::bigint AS ticks
FROM public.tick_candles_1d c
WHERE c.bucket >= %(start)s::timestamptz - interval '168 hours' AND c.bucket < %(stop)s::timestamptz + interval '168 hours'
GROUP BY c.symbol

-- name: save_quality_result
INSERT INTO public.quality_results (
    "check", subject, suite, severity, status, observed, expected, "window", sample, seconds, at, failing
) VALUES (
    %(check)s, %(subject)s, %(suite)s, %(severity)s, %(status)s, %(observed)s, %(expected)s,
    tstzrange(%(window_from)s, %(window_until)s), %(sample)s, %(seconds)s, %(at)s,
    %(failing)s::text::tstzmultirange
)

-- name: quality_now
-- Worst first. A result older than two days belongs to a check or symbol that is gone.
SELECT "check", subject, suite, severity, status, observed, expected, lower("window") AS window_from, upper("window") AS window_until,
    sample, seconds, at, since
FROM candleworks.quality_now()
WHERE status <> 'passed' OR at > now() - interval '2 days'
ORDER BY array_position(ARRAY['error', 'failed', 'passed'], status),
    array_position(ARRAY['critical', 'warning', 'info'], severity), "check", subject

-- name: quality_history
-- Of each status, so that many passes do not hide the last failure.
SELECT "check", subject, suite, severity, status, observed, expected, lower("window") AS window_from,
    upper("window") AS window_until, sample, seconds, at
FROM (
    SELECT *, row_number() OVER (PARTITION BY status ORDER BY at DESC, id DESC) AS n FROM public.quality_results
    WHERE "check" = %(check)s
) r
WHERE n <= 50 ORDER BY at DESC, id DESC

-- name: quality_parts
-- The worst status of every check in each part of the time since `start`, parts of `seconds`, numbered from 0.
SELECT r."check", floor(extract(epoch FROM r.at - %(start)s) / %(seconds)s)::int AS part,
    CASE WHEN bool_or(r.status = 'error') THEN 'error' WHEN bool_or(r.status = 'failed') THEN 'failed' ELSE 'passed' END
FROM public.quality_results r
WHERE r.at >= %(start)s
GROUP BY 1, 2
