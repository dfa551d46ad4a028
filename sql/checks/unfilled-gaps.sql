-- Gaps of the last 30 days that ended and were not filled in the time allowed, by feed.
WITH offending AS (
    SELECT g.feed, g.symbol, g.started_at, g.ended_at, g.reason,
        row_number() OVER (PARTITION BY g.feed ORDER BY g.started_at) AS n
    FROM public.feed_gaps g
    WHERE g.filled_at IS NULL AND g.started_at >= %(until)s::timestamptz - interval '30 days'
        AND g.ended_at < %(until)s::timestamptz - %(max_unfilled_gap_hours)s * interval '1 hour'
)
SELECT 'feed/' || o.feed AS subject,
    format('%%s not filled, the oldest from %%s', candleworks.counted(count(*), 'gap'),
        to_char(min(o.started_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC')) AS observed,
    format('gaps filled within %%s h', %(max_unfilled_gap_hours)s) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample
FROM offending o GROUP BY o.feed
