-- Prices far from the median of the 200 ticks before their quarter of an hour; where there are fewer than 20 of these, from
-- the median of the quarter itself. Only ticks of the five days before are compared (Easter, the longest closure of an
-- exchange, is shorter), and imported ticks with imported ones: a live feed may be a simulated one. Deviations are measured
-- in percent and, while the reference is recent and the market open, in MAD (median absolute deviations), the usual variation
-- of the symbol at that time. A failure passes once the 200 ticks after its quarter confirm the price.
WITH ticks AS MATERIALIZED (
    SELECT t.symbol, t.time, t.price, t.received_at, public.time_bucket('15 minutes', t.time) AS quarter,
        t.origin = 'file' AS imported
    FROM candleworks.checked_ticks(%(received_from)s, %(received_until)s, %(time_from)s, %(rechecks)s) t WHERE t.price > 0
), quarters AS (
    SELECT t.symbol, t.imported, t.quarter, percentile_cont(0.5) WITHIN GROUP (ORDER BY t.price) AS own_median
    FROM ticks t GROUP BY 1, 2, 3
), reference AS MATERIALIZED (
    SELECT q.symbol, q.imported, q.quarter, l.jump_percent, l.jump_closed_percent, l.jump_mad, l.jump_mad_percent,
        CASE WHEN b.ticks >= 20 THEN b.median ELSE q.own_median END AS median,
        CASE WHEN b.ticks >= 20 AND b.newest > q.quarter - interval '2 hours' THEN d.mad END AS mad,
        candleworks.open_times(l.calendar, q.quarter, q.quarter + interval '15 minutes') AS open_times
    FROM quarters q
    JOIN jsonb_to_recordset(%(limits)s) l(
        symbol text, calendar text, jump_percent double precision, jump_closed_percent double precision,
        jump_mad double precision, jump_mad_percent double precision
    ) ON l.symbol = q.symbol
    CROSS JOIN LATERAL (
        SELECT count(*) AS ticks, max(p.time) AS newest, array_agg(p.price) AS prices,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY p.price) AS median
        FROM (
            SELECT p.time, p.price FROM public.stocks_real_time p
            WHERE p.symbol = q.symbol AND p.time < q.quarter AND p.time >= q.quarter - interval '5 days' AND p.price > 0
                AND (p.origin = 'file') = q.imported
                AND p.time >= %(reference_from)s -- redundant, but excludes chunks before they are opened
            ORDER BY p.time DESC LIMIT 200
        ) p
    ) b
    CROSS JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(u.price - b.median)) AS mad FROM unnest(b.prices) u(price)
    ) d
), judged AS (
    SELECT t.symbol, t.imported, t.quarter, t.time, t.price, t.received_at, r.median, r.mad, 100 * (t.price / r.median - 1) AS percent,
        CASE WHEN r.open_times @> t.time THEN r.jump_percent ELSE r.jump_closed_percent END AS allowed_percent,
        CASE WHEN r.open_times @> t.time THEN r.jump_mad END AS allowed_mad, r.jump_mad_percent
    FROM ticks t JOIN reference r USING (symbol, imported, quarter)
), far AS MATERIALIZED (
    SELECT j.* FROM judged j
    WHERE abs(j.percent) > j.allowed_percent
        OR (abs(j.price - j.median) > j.allowed_mad * j.mad AND abs(j.percent) > j.jump_mad_percent)
), later AS MATERIALIZED (
    SELECT f.symbol, f.imported, f.quarter, p.median
    FROM (SELECT DISTINCT f.symbol, f.imported, f.quarter FROM far f) f
    JOIN jsonb_to_recordset(%(rechecks)s) a(symbol text, start timestamptz, stop timestamptz)
        ON a.symbol = f.symbol AND a.start <= f.quarter AND a.stop > f.quarter
    CROSS JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY p.price) AS median
        FROM (
            SELECT p.price FROM public.stocks_real_time p
            WHERE p.symbol = f.symbol AND p.time >= f.quarter + interval '15 minutes'
                AND p.time < f.quarter + interval '5 days' AND p.price > 0
                AND (p.origin = 'file') = f.imported
            ORDER BY p.time LIMIT 200
        ) p
        HAVING count(*) >= 20
    ) p
), offending AS (
    SELECT f.*, row_number() OVER (PARTITION BY f.symbol ORDER BY abs(f.percent) DESC, f.time) AS n
    FROM far f LEFT JOIN later l USING (symbol, imported, quarter)
    WHERE (abs(100 * (f.price / l.median - 1)) <= f.allowed_percent) IS NOT TRUE
), worst AS (
    SELECT o.symbol, count(*) AS ticks,
        max(o.price) FILTER (WHERE o.n = 1) AS price, max(o.median) FILTER (WHERE o.n = 1) AS median,
        max(o.percent) FILTER (WHERE o.n = 1) AS percent, max(o.allowed_percent) FILTER (WHERE o.n = 1) AS allowed_percent,
        max(o.allowed_mad) FILTER (WHERE o.n = 1) AS allowed_mad, max(o.jump_mad_percent) AS jump_mad_percent,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY o.median / o.price) AS ratio,
        jsonb_agg(jsonb_build_object(
            'time', o.time, 'price', o.price, 'received_at', o.received_at, 'median', o.median, 'mad', o.mad
        ) ORDER BY o.n) FILTER (WHERE o.n <= %(sample)s) AS sample,
        candleworks.failing_times(range_agg(tstzrange(o.quarter, o.quarter + interval '15 minutes'))) AS failing
    FROM offending o GROUP BY o.symbol
)
SELECT w.symbol AS subject,
    format('%%s far from the median, worst price %%s against %%s (%%s %%%%)%%s', candleworks.counted(w.ticks, 'tick'), w.price, round(w.median::numeric, 6)::double precision,
        to_char(w.percent, 'FMSG999999990.0'), (
            SELECT format(', as after a %%s split', s.name)
            FROM (VALUES
                (1.5, '3:2'), (2, '2:1'), (3, '3:1'), (4, '4:1'), (5, '5:1'), (7, '7:1'), (8, '8:1'), (10, '10:1'),
                (15, '15:1'), (20, '20:1'), (25, '25:1'), (50, '50:1'), (1 / 2.0, '1:2'), (1 / 3.0, '1:3'), (1 / 4.0, '1:4'),
                (1 / 5.0, '1:5'), (1 / 8.0, '1:8'), (1 / 10.0, '1:10'), (1 / 20.0, '1:20'), (1 / 25.0, '1:25'), (1 / 50.0, '1:50')
            ) s(ratio, name)
            WHERE abs(w.ratio / s.ratio - 1) < 0.03 LIMIT 1
        )) AS observed,
    format('within %%s %%%%%%s of the median', w.allowed_percent,
        CASE WHEN w.allowed_mad IS NOT NULL THEN format(', and within %%s MAD or %%s %%%%', w.allowed_mad, w.jump_mad_percent) END
    ) AS expected,
    w.sample, w.failing
FROM worst w
