-- Seconds whose cumulative volume is below that of an earlier second of the same trading day and source. Within a second totals are out
-- of order in real data (by up to 19 %% right after the close), so the highest of each second counts. Failures are checked
-- again from the first second that was compared, because one of these had the higher total.
WITH seconds AS (
    SELECT t.symbol, s.source, l.zone, l.volume_decrease_percent, (t.time AT TIME ZONE l.zone)::date AS day,
        date_trunc('second', t.time) AS second, max(t.day_volume) AS total
    FROM candleworks.checked_ticks(%(received_from)s, %(received_until)s, %(time_from)s, %(rechecks)s) t
    JOIN jsonb_to_recordset(%(limits)s) l(symbol text, zone text, volume_decrease_percent double precision)
        ON l.symbol = t.symbol
    CROSS JOIN LATERAL (SELECT candleworks.total_source(t.origin) AS source) s
    WHERE t.day_volume > 0 -- some sources send 0 where they have no total
    GROUP BY 1, 2, 3, 4, 5, 6
), days AS (
    SELECT s.symbol, s.source, s.zone, s.day, min(s.second) AS first FROM seconds s GROUP BY 1, 2, 3, 4
), before AS (
    -- The total of the day before the window, by its last 50 ticks.
    SELECT d.symbol, d.source, d.day, d.first, b.total FROM days d
    CROSS JOIN LATERAL (
        SELECT max(p.day_volume) AS total FROM (
            SELECT p.day_volume FROM public.stocks_real_time p
            WHERE p.symbol = d.symbol AND p.time < d.first AND p.time >= d.day::timestamp AT TIME ZONE d.zone
                AND candleworks.total_source(p.origin) = d.source
                AND p.time >= %(reference_from)s -- redundant, but excludes chunks before they are opened
            ORDER BY p.time DESC LIMIT 50
        ) p
    ) b
), running AS (
    SELECT s.*, b.first, greatest(b.total, max(s.total) OVER (
        PARTITION BY s.symbol, s.source, s.day ORDER BY s.second ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )) AS reached
    FROM seconds s JOIN before b USING (symbol, source, day)
), offending AS (
    SELECT r.symbol, r.source, r.first, r.second AS time, r.total AS day_volume, r.reached, 100 * (1 - r.total / r.reached) AS percent,
        r.volume_decrease_percent, row_number() OVER (PARTITION BY r.symbol ORDER BY r.second) AS n
    FROM running r WHERE r.total < r.reached * (1 - r.volume_decrease_percent / 100)
)
SELECT o.symbol AS subject,
    format('%%s with a cumulative volume below an earlier one, by up to %%s %%%%', candleworks.counted(count(*), 'second'), to_char(max(o.percent), 'FM990.0'))
        AS observed,
    format('at most %%s %%%% below', min(o.volume_decrease_percent)) AS expected,
    jsonb_agg(to_jsonb(o) - 'n' - 'first' - 'volume_decrease_percent' ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
    candleworks.failing_times(range_agg(tstzrange(o.first, o.time + interval '1 second'))) AS failing
FROM offending o GROUP BY o.symbol
