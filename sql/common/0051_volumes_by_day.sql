-- As before, but OFFSET 0 keeps the planner from joining days and trades by the symbol alone.
CREATE OR REPLACE FUNCTION candleworks.recompute_volumes(
    origin text, symbols text[], day_starts timestamptz[], day_ends timestamptz[], firsts timestamptz[], lasts timestamptz[],
    tops double precision[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    change record;
BEGIN
    FOR change IN
        WITH touched AS MATERIALIZED (
            SELECT t.*, CASE WHEN origin <> 'twelvedata' OR candleworks.was_imported(t.day_start, t.day_end)
                THEN candleworks.leading_source(t.symbol, t.day_start, t.day_end) END AS leader
            FROM unnest(symbols, day_starts, day_ends, firsts, lasts, tops) t(symbol, day_start, day_end, first, last, top)
        ), stretch AS MATERIALIZED (
            SELECT d.symbol, d.day_start, d.leader, seed.time AS seed,
                coalesce(seed.time, d.day_start) AS start, coalesce(above.time, d.day_end - interval '1 microsecond') AS stop,
                seed.time IS NULL AND EXISTS (
                    SELECT FROM public.stocks_real_time p WHERE p.symbol = d.symbol AND p.time < d.day_start
                ) AS from_zero
            FROM touched d
            LEFT JOIN LATERAL (
                SELECT t.time FROM public.stocks_real_time t
                WHERE d.leader IS NULL AND t.symbol = d.symbol AND t.time >= d.day_start AND t.time < d.first
                    AND t.day_volume IS NOT NULL AND (t.volume > 0 OR t.volume IS NULL)
                ORDER BY t.time DESC LIMIT 1
            ) seed ON true
            LEFT JOIN LATERAL (
                SELECT t.time FROM public.stocks_real_time t
                WHERE d.leader IS NULL AND t.symbol = d.symbol AND t.time > d.last AND t.time < d.day_end
                    AND t.volume > 0 AND t.day_volume > d.top
                ORDER BY t.time LIMIT 1
            ) above ON true
        ), tick AS (
            SELECT s.symbol, s.day_start, s.from_zero, s.seed, t.time, t.volume, t.day_volume, CASE
                WHEN coalesce(s.leader, '') = '' THEN ''
                WHEN t.origin = 'bar' THEN s.leader
                ELSE candleworks.total_source(t.origin)
            END AS source
            FROM stretch s
            CROSS JOIN LATERAL (
                SELECT t.time, t.volume, t.day_volume, t.origin FROM public.stocks_real_time t
                WHERE t.symbol = s.symbol AND t.time >= s.start AND t.time <= s.stop
                OFFSET 0
            ) t
        ), walked AS (
            SELECT k.*, max(k.day_volume) OVER (same ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
                count(k.day_volume) OVER (day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) > 0 AS begun
            FROM tick k
            WINDOW same AS (PARTITION BY k.symbol, k.day_start, k.source ORDER BY k.time),
                day AS (PARTITION BY k.symbol, k.day_start ORDER BY k.time)
        ), due AS (
            SELECT symbol, day_start, time, volume AS stored,
                candleworks.volume_increase(day_volume, before, from_zero AND NOT begun) AS volume
            FROM walked WHERE day_volume IS NOT NULL AND time IS DISTINCT FROM seed
        )
        SELECT d.symbol, min(d.time) AS start, max(d.time) AS stop,
            array_agg(d.time) AS times, array_agg(d.volume) AS volumes
        FROM due d WHERE d.volume IS DISTINCT FROM d.stored
        GROUP BY d.symbol, d.day_start
    LOOP
        EXECUTE 'UPDATE public.stocks_real_time t SET volume = d.volume FROM unnest($4, $5) d(time, volume)
            WHERE t.symbol = $1 AND t.time >= $2 AND t.time <= $3 AND t.time = d.time'
        USING change.symbol, change.start, change.stop, change.times, change.volumes;
    END LOOP;
END $$;
