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

-- name: troubled_subjects
-- What did not pass when it was last looked at, or failed within a day: its passes are kept too.
SELECT n."check", n.subject FROM candleworks.quality_now() n WHERE n.status <> 'passed'
UNION
SELECT r."check", r.subject FROM public.quality_results r
WHERE r.at > %(until)s::timestamptz - interval '1 day' AND r.status <> 'passed'

-- name: save_quality_result
INSERT INTO public.quality_results (
    "check", subject, suite, severity, status, observed, expected, "window", sample, seconds, at
) VALUES (
    %(check)s, %(subject)s, %(suite)s, %(severity)s, %(status)s, %(observed)s, %(expected)s,
    tstzrange(%(window_from)s, %(window_until)s), %(sample)s, %(seconds)s, %(at)s
)

-- name: quality_now
-- Worst first. What was not looked at for two days is of a check or symbol that is gone.
SELECT "check", subject, suite, severity, status, observed, expected, lower("window") AS window_from, upper("window") AS window_until,
    sample, seconds, at,
    since
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
