-- Feeds of which many ticks, or their quotes, were rejected; fewer than 10 do not count. Rejected lines of imported files are
-- reported by the import.
WITH feeds AS (
    SELECT s.feed, sum(s.ticks) AS ticks FROM public.ingest_stats s
    WHERE s.at >= %(stats_from)s AND s.at < %(until)s GROUP BY s.feed
), rejected AS (
    SELECT r.feed, r.received_at, r.reason, left(r.payload, 200) AS payload, r.kind = 'quote' AS of_quote,
        row_number() OVER (PARTITION BY r.feed ORDER BY r.received_at DESC) AS n
    FROM public.rejected_ticks r
    WHERE r.received_at >= %(stats_from)s AND r.received_at < %(until)s
        AND (r.feed IN (SELECT feed FROM feeds) OR r.feed IN (SELECT feed FROM public.feed_symbols))
)
SELECT 'feed/' || r.feed AS subject,
    concat_ws(', ',
        candleworks.counted(nullif(count(*) FILTER (WHERE NOT r.of_quote), 0), 'tick') || ' rejected',
        candleworks.counted(nullif(count(*) FILTER (WHERE r.of_quote), 0), 'quote') || ' rejected',
        coalesce(min(f.ticks), 0) || ' stored'
    ) AS observed,
    format('at most %%s %%%% rejected', %(max_rejected_percent)s) AS expected,
    jsonb_agg(to_jsonb(r) - 'n' - 'feed' - 'of_quote' ORDER BY r.n) FILTER (WHERE r.n <= %(sample)s) AS sample
FROM rejected r LEFT JOIN feeds f USING (feed)
GROUP BY r.feed
HAVING count(*) >= 10 AND count(*) * 100 > (count(*) + coalesce(min(f.ticks), 0)) * %(max_rejected_percent)s
