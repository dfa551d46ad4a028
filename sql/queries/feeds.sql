-- name: stored_marks
-- Marks of runs whose spool nobody came back for in a year go.
WITH gone AS (
    DELETE FROM candleworks.feed_marks WHERE feed = %(feed)s AND at < now() - interval '1 year'
)
SELECT run, sequence FROM candleworks.feed_marks WHERE feed = %(feed)s

-- name: save_mark
INSERT INTO candleworks.feed_marks (feed, run, sequence) VALUES (%(feed)s, %(run)s, %(sequence)s)
ON CONFLICT (feed, run) DO UPDATE SET sequence = excluded.sequence, at = excluded.at

-- name: gap_opened
INSERT INTO public.feed_gaps (feed, symbol, started_at, reason)
SELECT %(feed)s, %(symbol)s, coalesce(%(at)s, (
    SELECT max(t.time) FROM unnest(%(symbols)s::text[]) s(symbol)
    CROSS JOIN LATERAL (
        SELECT date_trunc('second', t.time) AS time FROM public.stocks_real_time t
        WHERE t.symbol = s.symbol AND t.origin <> 'bar' ORDER BY t.time DESC LIMIT 1
    ) t
), now()), %(reason)s
ON CONFLICT (feed, coalesce(symbol, '')) WHERE ended_at IS NULL DO NOTHING

-- name: gap_started
-- After a crash: from the last stored tick, or from when the feed was last known to be well if that is later. Statistics
-- are written every second, by us too, and say which ten seconds they are about; two seconds allow for ticks that were on
-- their way. What a symbol alone missed before is over, too: if it goes on, it is found anew. After a deliberate stop the
-- symbols are asked for anew: their silence counts from here. After a crash it goes on, or crashes again and again hide it.
WITH closed AS (
    UPDATE public.feed_gaps SET ended_at = greatest(started_at, %(at)s)
    WHERE feed = %(feed)s AND symbol IS NOT NULL AND ended_at IS NULL
), resumed AS (
    DELETE FROM public.feed_stops WHERE feed = %(feed)s RETURNING deliberate
), asked_anew AS (
    UPDATE public.feed_symbols SET since = %(at)s
    WHERE feed = %(feed)s AND status IN ('asked', 'streaming') AND (SELECT deliberate FROM resumed)
)
INSERT INTO public.feed_gaps (feed, symbol, started_at, reason)
SELECT %(feed)s, %(symbol)s, coalesce(greatest(t.time, s.at - interval '2 seconds'), %(at)s), %(reason)s
FROM (
    SELECT max(t.time) AS time FROM unnest(%(symbols)s::text[]) s(symbol)
    CROSS JOIN LATERAL (
        SELECT date_trunc('second', t.time) AS time FROM public.stocks_real_time t
        WHERE t.symbol = s.symbol AND t.origin <> 'bar' ORDER BY t.time DESC LIMIT 1
    ) t
) t
CROSS JOIN (
    SELECT max(at) AS at FROM public.ingest_stats
    WHERE feed = %(feed)s AND at < public.time_bucket('10 seconds', %(at)s::timestamptz)
) s
WHERE EXISTS (SELECT FROM candleworks.feed_marks WHERE feed = %(feed)s)
ON CONFLICT (feed, coalesce(symbol, '')) WHERE ended_at IS NULL DO NOTHING

-- name: gap_closed
UPDATE public.feed_gaps SET ended_at = greatest(started_at, coalesce(%(at)s, now()))
WHERE feed = %(feed)s AND symbol IS NOT DISTINCT FROM %(symbol)s AND ended_at IS NULL

-- name: gap_stopped
INSERT INTO public.feed_stops (feed, stopped_at, reason, deliberate)
VALUES (%(feed)s, %(at)s, %(why)s, %(deliberate)s)
ON CONFLICT (feed) DO UPDATE
SET stopped_at = excluded.stopped_at, reason = excluded.reason, deliberate = excluded.deliberate

-- name: save_feed_symbols
WITH named AS (
    SELECT * FROM unnest(%(symbols)s::text[], %(statuses)s::text[], %(reasons)s::text[]) n(symbol, status, reason)
), gone AS (
    UPDATE public.feed_symbols f SET status = 'removed', reason = NULL, since = now()
    WHERE f.feed = %(feed)s AND f.status <> 'removed' AND NOT EXISTS (SELECT FROM named n WHERE n.symbol = f.symbol)
)
INSERT INTO public.feed_symbols AS f (feed, symbol, status, reason, since)
SELECT %(feed)s, n.symbol, n.status, n.reason, now() FROM named n
ON CONFLICT (feed, symbol) DO UPDATE SET status = excluded.status, reason = excluded.reason, since = excluded.since
WHERE (f.status, f.reason) IS DISTINCT FROM (excluded.status, excluded.reason)

-- name: save_feed_refusal
-- Records what the vendor answered, and since when it refuses.
INSERT INTO candleworks.feed_refusals AS r (feed, observed) VALUES (%(feed)s, %(observed)s)
ON CONFLICT (feed) DO UPDATE SET observed = excluded.observed WHERE r.observed <> excluded.observed

-- name: delete_feed_refusal
DELETE FROM candleworks.feed_refusals WHERE feed = %(feed)s

-- name: stopped_feeds
SELECT feed, stopped_at, reason FROM public.feed_stops WHERE deliberate ORDER BY feed

-- name: feeds_not_stopped
SELECT count(DISTINCT feed) FROM public.feed_symbols WHERE status <> 'removed' AND NOT candleworks.is_stopped(feed)

-- name: ticks_expected
-- Whether a market of a subscribed symbol was open throughout the time before `at`; feeds that a person has stopped do not
-- count. Without subscriptions, or before calendars are stored, nothing says that a market is closed.
SELECT CASE
    WHEN NOT EXISTS (SELECT FROM public.feed_symbols WHERE status <> 'removed' AND NOT candleworks.is_stopped(feed))
        OR NOT EXISTS (SELECT FROM candleworks.calendar_rules WHERE symbol = '*')
        THEN true
    ELSE EXISTS (
        SELECT FROM (
            SELECT DISTINCT candleworks.calendar_of(f.symbol) AS calendar FROM public.feed_symbols f
            WHERE f.status <> 'removed' AND NOT candleworks.is_stopped(f.feed)
        ) c
        WHERE candleworks.open_times(c.calendar, %(at)s - %(window)s, %(at)s) @> tstzrange(%(at)s - %(window)s, %(at)s)
    )
END

-- name: confirm_stops
UPDATE public.feed_stops SET deliberate = true, reason = %(reason)s
WHERE feed = ANY(%(feeds)s) AND NOT deliberate AND stopped_at > now() - interval '1 minute'

-- name: streaming_symbols
SELECT symbol FROM public.feed_symbols WHERE feed = %(feed)s AND status = 'streaming' ORDER BY symbol
