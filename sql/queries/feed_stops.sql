-- name: stopped_feeds
SELECT feed, stopped_at, reason FROM public.feed_stops WHERE deliberate ORDER BY feed

-- name: feeds_not_stopped
SELECT count(DISTINCT feed) FROM public.feed_symbols WHERE status <> 'removed' AND NOT candleworks.is_stopped(feed)

-- name: confirm_stops
UPDATE public.feed_stops SET deliberate = true, reason = %(reason)s
WHERE feed = ANY(%(feeds)s) AND NOT deliberate AND stopped_at > now() - interval '1 minute'
