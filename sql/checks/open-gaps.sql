-- Feeds that are down for longer than allowed though nobody has stopped them, and gaps of the last 30 days that nobody
-- filled in the time allowed. A single silent symbol is judged by freshness.
WITH offending AS (
    SELECT g.feed, g.symbol, g.started_at, g.ended_at, g.reason, g.ended_at IS NULL AS open,
        row_number() OVER (PARTITION BY g.feed ORDER BY g.ended_at IS NULL DESC, g.started_at) AS n
    FROM public.feed_gaps g
    WHERE g.filled_at IS NULL AND g.started_at >= %(until)s::timestamptz - interval '30 days' AND (
        g.ended_at < %(until)s::timestamptz - %(max_unfilled_gap_hours)s * interval '1 hour'
        OR g.ended_at IS NULL AND g.symbol IS NULL AND NOT candleworks.is_stopped(g.feed)
            AND g.started_at < %(until)s::timestamptz - %(max_open_gap_seconds)s * interval '1 second'
    )
)
SELECT 'feed/' || o.feed AS subject,
    concat_ws(', ',
        'down since ' || to_char(min(o.started_at) FILTER (WHERE o.open) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'),
        candleworks.counted(nullif(count(*) FILTER (WHERE NOT o.open), 0), 'unfilled gap')
    ) AS observed,
    format('open for at most %%s s, filled within %%s h', %(max_open_gap_seconds)s, %(max_unfilled_gap_hours)s) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'open' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample
FROM offending o GROUP BY o.feed
