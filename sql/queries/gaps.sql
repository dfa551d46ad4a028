-- name: unfilled_gaps
SELECT id, feed, symbol, started_at, ended_at, reason
FROM public.feed_gaps
WHERE ended_at IS NOT NULL AND filled_at IS NULL
    AND (%(feed)s::text IS NULL OR feed = %(feed)s)
    AND (%(symbol)s::text IS NULL OR id IN (SELECT g.id FROM candleworks.gaps_of(%(symbol)s, NULL, NULL) g))
    AND (%(since)s::timestamptz IS NULL OR ended_at > %(since)s)
ORDER BY started_at, id

-- name: streamed_symbols
-- Whom each feed streams or streamed; removed_at is null while it is asked for. What the vendor refused was never there.
SELECT feed, symbol, CASE WHEN status = 'removed' THEN since END AS removed_at
FROM public.feed_symbols WHERE status <> 'refused'
ORDER BY feed, symbol

-- name: fill_records
SELECT gap_id, symbol, outcome, bars, fetched_until FROM public.gap_fills WHERE gap_id = ANY(%(gaps)s)

-- name: save_fill_record
INSERT INTO public.gap_fills AS f (gap_id, symbol, outcome, bars, reason, attempts, fetched_until, at)
VALUES (%(gap_id)s, %(symbol)s, %(outcome)s, %(bars)s, %(reason)s, 1, %(fetched_until)s, %(at)s)
ON CONFLICT (gap_id, symbol) DO UPDATE SET
    outcome = excluded.outcome, bars = excluded.bars, reason = excluded.reason, attempts = f.attempts + 1,
    fetched_until = excluded.fetched_until, at = excluded.at

-- name: mark_filled
-- Marks a gap as filled when each of its symbols is.
UPDATE public.feed_gaps g SET filled_at = %(at)s
WHERE g.id = %(id)s AND g.filled_at IS NULL AND NOT EXISTS (
    SELECT FROM unnest(%(symbols)s::text[]) s(symbol)
    WHERE NOT EXISTS (
        SELECT FROM public.gap_fills f WHERE f.gap_id = g.id AND f.symbol = s.symbol AND f.outcome <> 'failed'
    )
)

-- name: fillable_spans
-- What of [start, stop) lies in the symbol's sessions and is not of a time whose ticks were dropped.
SELECT lower(r), upper(r)
FROM unnest(
    candleworks.open_times(candleworks.calendar_of(%(symbol)s), %(start)s, %(stop)s)
    * tstzmultirange(tstzrange(%(start)s::timestamptz, %(stop)s::timestamptz))
    - candleworks.dropped_times('stocks_real_time')
) r
ORDER BY 1

-- name: market_was_closed
SELECT isempty(candleworks.open_times(candleworks.calendar_of(%(symbol)s), %(start)s, %(stop)s))

-- name: gap_spans
-- The closed gaps, filled or not, of a symbol on these feeds; at both bounds stand good ticks.
SELECT lower(r), upper(r)
FROM (
    SELECT unnest(range_agg(tstzrange(started_at, ended_at, '()'))) AS r
    FROM candleworks.gaps_of(%(symbol)s, %(start)s, %(stop)s)
    WHERE ended_at IS NOT NULL AND feed = ANY(%(feeds)s)
) merged
ORDER BY 1

-- name: minute_summaries
-- What is stored of each of the minutes besides bars, nothing for minutes without ticks: its first and last time, lowest and
-- highest price, the volume of ticks without a running total, how many lie in the parts, and whether any of these is a
-- recording, which covers the minute.
SELECT m.minute, s.*
FROM unnest(%(minutes)s::timestamptz[], %(parts)s::tstzmultirange[]) m(minute, parts)
CROSS JOIN LATERAL (
    SELECT min(t.time), max(t.time), min(t.price), max(t.price),
        coalesce(sum(t.volume) FILTER (WHERE t.day_volume IS NULL), 0),
        count(*) FILTER (WHERE m.parts @> t.time),
        coalesce(bool_or(t.origin <> %(live)s) FILTER (WHERE m.parts @> t.time), false)
    FROM public.stocks_real_time t
    WHERE t.symbol = %(symbol)s AND t.time >= m.minute AND t.time < m.minute + interval '1 minute' AND t.origin <> 'bar'
    HAVING count(*) > 0
) s

-- name: later_bars
-- The bars of the trading day from a moment on that are stored already.
SELECT minute, volume_at, volume FROM candleworks.vendor_bars
WHERE symbol = %(symbol)s AND minute >= %(start)s AND minute < %(day_end)s
ORDER BY minute

-- name: totals_around_bars
-- The running totals of ticks around the bars of one trading day, of the source that bars continue. before: the highest between
-- the bar before (for the first one: the day's start, bars included) and the minute. inside: the highest within the minute,
-- before the bar's volume. next: the first one after it, and before the following bar, that stands above all earlier ones.
-- after: the highest between the bar's volume and the minute's end.
WITH bar AS (
    SELECT b.minute, b.at, lag(b.at) OVER w AS previous, coalesce(lead(b.at) OVER w, %(day_end)s) AS following
    FROM unnest(%(minutes)s::timestamptz[], %(times)s::timestamptz[]) b(minute, at)
    WINDOW w AS (ORDER BY b.at)
), day AS MATERIALIZED (
    SELECT candleworks.leading_source(%(symbol)s, %(day_start)s, %(day_end)s) AS leader
), known AS (
    SELECT b.*,
        (SELECT max(t.day_volume) FROM public.stocks_real_time t
         WHERE t.symbol = %(symbol)s AND t.time >= coalesce(b.previous, %(day_start)s) AND t.time < b.minute
            AND (t.origin <> 'bar' OR b.previous IS NULL)
            AND candleworks.is_counted(t.origin, d.leader, d.leader)) AS before,
        (SELECT max(t.day_volume) FROM public.stocks_real_time t
         WHERE t.symbol = %(symbol)s AND t.time >= greatest(b.minute, b.previous) AND t.time < b.at
            AND t.origin <> 'bar' AND candleworks.is_counted(t.origin, d.leader, d.leader)) AS inside,
        (SELECT max(t.day_volume) FROM public.stocks_real_time t
         WHERE t.symbol = %(symbol)s AND t.time >= b.at AND t.time < least(b.minute + interval '1 minute', b.following)
            AND t.origin <> 'bar' AND candleworks.is_counted(t.origin, d.leader, d.leader)) AS after
    FROM bar b CROSS JOIN day d
), climbing AS (
    SELECT k.*, d.leader, max(greatest(before, inside)) OVER (ORDER BY at) AS highest FROM known k CROSS JOIN day d
)
SELECT c.minute, c.before, c.inside, (
    SELECT t.day_volume FROM public.stocks_real_time t
    WHERE t.symbol = %(symbol)s AND t.time >= c.at AND t.time < c.following AND t.origin <> 'bar'
        AND t.day_volume > coalesce(c.highest, '-infinity') AND candleworks.is_counted(t.origin, c.leader, c.leader)
    ORDER BY t.time LIMIT 1
), c.after
FROM climbing c ORDER BY c.at

-- name: totals_before
-- Whether ticks are known from before a moment, and whether the last one that is no bar had a running total.
SELECT
    EXISTS (SELECT FROM public.stocks_real_time WHERE symbol = %(symbol)s AND time < %(moment)s),
    coalesce((
        SELECT day_volume IS NOT NULL FROM public.stocks_real_time
        WHERE symbol = %(symbol)s AND time < %(moment)s AND origin <> 'bar' ORDER BY time DESC LIMIT 1
    ), false)

-- name: taken_intervals
-- Which intervals of a range of ["start", "stop") hold ticks, or bars as short as these or shorter.
SELECT DISTINCT date_bin(%(interval)s::interval, t.time, timestamptz '2000-01-01 00:00:00+00')
FROM public.stocks_real_time t
WHERE t.symbol = %(symbol)s AND t.time >= %(start)s AND t.time < %(stop)s AND (
    t.origin <> 'bar' OR NOT EXISTS (
        SELECT FROM candleworks.vendor_bars b
        WHERE b.symbol = t.symbol AND b.minute > t.time - interval '1 day' AND b.minute <= t.time
            AND b.parts @> t.time AND upper(b.parts) - lower(b.parts) > %(interval)s::interval
    )
)

-- name: overlapping_bars
-- The bars that share a moment with [start, stop).
SELECT minute FROM candleworks.vendor_bars b
WHERE b.symbol = %(symbol)s AND b.minute > %(start)s::timestamptz - interval '1 day' AND b.minute < %(stop)s
    AND b.parts && %(parts)s::tstzmultirange

-- name: has_totals
-- Whether any tick of the symbol in [start, stop), which may be null for no bound, has a running total.
SELECT EXISTS (
    SELECT FROM public.stocks_real_time
    WHERE symbol = %(symbol)s AND day_volume IS NOT NULL
        AND time >= coalesce(%(start)s::timestamptz, '-infinity') AND time < coalesce(%(stop)s::timestamptz, 'infinity')
)

-- name: delete_bar_ticks
-- The bounds are given besides the parts, so that only the chunks between them are looked at.
DELETE FROM public.stocks_real_time
WHERE symbol = %(symbol)s AND time >= %(start)s AND time < %(stop)s AND origin = 'bar'
    AND %(parts)s::tstzmultirange @> time
RETURNING time, day_volume

-- name: correct_bar_total
UPDATE public.stocks_real_time SET day_volume = %(day_volume)s, volume = %(volume)s
WHERE symbol = %(symbol)s AND time = %(time)s AND origin = 'bar'
    AND (day_volume IS DISTINCT FROM %(day_volume)s OR day_volume IS NULL AND volume IS DISTINCT FROM %(volume)s)

-- name: save_vendor_bars
-- Times are microseconds since 1970, which take a third of the time to send. numbers are those of the bars, from 1, to which
-- each part belongs.
INSERT INTO candleworks.vendor_bars (symbol, minute, parts, known, volume, volume_at)
SELECT %(symbol)s, candleworks.time_at(b.minute_us), p.parts, b.known, b.volume, candleworks.time_at(b.volume_us)
FROM unnest(
    %(minutes)s::bigint[], %(known)s::bigint[], %(volumes)s::float8[], %(volume_times)s::bigint[]
) WITH ORDINALITY b(minute_us, known, volume, volume_us, number)
JOIN (
    SELECT s.number, range_agg(tstzrange(candleworks.time_at(s.start), candleworks.time_at(s.stop))) AS parts
    FROM unnest(%(numbers)s::bigint[], %(starts)s::bigint[], %(stops)s::bigint[]) s(number, start, stop)
    GROUP BY s.number
) p USING (number)

-- name: delete_vendor_bars
DELETE FROM candleworks.vendor_bars WHERE symbol = %(symbol)s AND minute = ANY(%(minutes)s::timestamptz[])
RETURNING parts

-- name: covered_minutes
-- Bars, of a day at most, in whose parts more ticks stand by now than when they were stored.
SELECT b.symbol, array_agg(b.minute ORDER BY b.minute)
FROM unnest(%(symbols)s::text[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[]) s(symbol, first, last)
JOIN candleworks.vendor_bars b ON b.symbol = s.symbol
    AND b.minute > s.first - interval '1 day' AND b.minute <= s.last
    AND greatest(b.minute + interval '1 minute', upper(b.parts)) > s.first
WHERE b.known < (
    SELECT count(*) FROM public.stocks_real_time t
    WHERE t.symbol = b.symbol AND t.time >= b.minute AND t.time < upper(b.parts) AND t.origin <> 'bar'
        AND b.parts @> t.time
)
GROUP BY b.symbol

-- name: follow_up
INSERT INTO candleworks.fill_followups AS f (symbol, day_start, day_end, first, last, top)
VALUES (%(symbol)s, %(day_start)s, %(day_end)s, %(first)s, %(last)s, %(top)s)
ON CONFLICT (symbol, day_start) DO UPDATE SET
    first = least(f.first, excluded.first), last = greatest(f.last, excluded.last), top = greatest(f.top, excluded.top)

-- name: followups
-- settled: a later tick of the feed with a running total came a minute ago or earlier, or the day has been over for an hour.
SELECT f.symbol, f.day_start, f.day_end, f.first, f.last, f.top,
    f.day_end < %(now)s - interval '1 hour' OR EXISTS (
        SELECT FROM public.stocks_real_time t
        WHERE t.symbol = f.symbol AND t.time > f.last AND t.time < f.day_end
            AND candleworks.total_source(t.origin) = 'twelvedata' AND t.day_volume IS NOT NULL AND t.received_at < %(now)s - interval '1 minute'
    )
FROM candleworks.fill_followups f ORDER BY f.symbol, f.day_start
FOR UPDATE SKIP LOCKED

-- name: settle_followup
DELETE FROM candleworks.fill_followups WHERE symbol = %(symbol)s AND day_start = %(day_start)s
