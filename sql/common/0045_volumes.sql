-- Running totals by their source: the volume of a trade is the increase over the highest total of its own source on its trading
-- day; and how much of a candle's volume was traded while nobody listened: docs/decisions/0069-totals-by-source.md.
-- Locks: none; two functions are replaced, the rest is new.

-- Whose running total a trade of this origin has. A table that was adopted has that of the feed.
CREATE FUNCTION candleworks.total_source(origin text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE origin WHEN 'adopted' THEN 'twelvedata' ELSE origin END;

-- Trading days on which a source has repeated a trade of another one, with its running total: both count the same.
CREATE TABLE candleworks.shared_totals (
    symbol text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    PRIMARY KEY (symbol, day_start)
);

-- Whether the running totals of a file fit between those of the other source on a trading day, each of them between the highest
-- one before it and the next one above that: then they are of the same total, or can do no harm as part of it.
CREATE FUNCTION candleworks.file_fits(wanted text, day_start timestamptz, day_end timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
    WITH tick AS (
        SELECT t.time, t.day_volume, t.origin = 'file' AS filed,
            max(t.day_volume) FILTER (WHERE t.origin <> 'file') OVER (
                ORDER BY t.time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before
        FROM public.stocks_real_time t
        WHERE t.symbol = wanted AND t.time >= day_start AND t.time < day_end AND t.origin <> 'bar' AND t.day_volume IS NOT NULL
    ), bounded AS (
        SELECT k.filed, k.day_volume, k.before, min(k.day_volume) FILTER (WHERE NOT k.filed AND k.day_volume > k.before) OVER (
            ORDER BY k.time DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS next
        FROM tick k
    )
    SELECT coalesce(bool_and(coalesce(b.day_volume BETWEEN b.before AND b.next, false)), false) FROM bounded b WHERE b.filed
$$;

-- Of the sources that have running totals on a trading day of a symbol, the one that bars continue: the feed's, or the first by
-- name. Null where there is only one, empty where all of them count the same total. `also` is a source that is about to have one.
CREATE FUNCTION candleworks.leading_source(wanted text, day_start timestamptz, day_end timestamptz, also text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    sources text[];
BEGIN
    IF EXISTS (SELECT FROM candleworks.shared_totals s WHERE s.symbol = wanted AND s.day_start = leading_source.day_start) THEN
        RETURN '';
    END IF;
    SELECT array_agg(DISTINCT s.source ORDER BY s.source) INTO sources
    FROM (
        SELECT candleworks.total_source(t.origin) FROM public.stocks_real_time t
        WHERE t.symbol = wanted AND t.time >= day_start AND t.time < day_end AND t.origin <> 'bar' AND t.day_volume IS NOT NULL
        UNION ALL
        SELECT also WHERE also IS NOT NULL
    ) s(source);
    RETURN CASE
        WHEN coalesce(cardinality(sources), 0) < 2 THEN NULL
        WHEN cardinality(sources) = 2 AND candleworks.file_fits(wanted, day_start, day_end) THEN ''
        WHEN 'twelvedata' = ANY(sources) THEN 'twelvedata'
        ELSE sources[1]
    END;
END $$;

-- Whether a trade of this origin has, or a bar continues, the running total of a source on a day with this leading source.
CREATE FUNCTION candleworks.is_counted(origin text, source text, leader text) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce(leader, '') = '' OR source = CASE origin WHEN 'bar' THEN leader ELSE candleworks.total_source(origin) END;

-- The highest running total of a source before a moment of a trading day, as the next trade of that source continues it: that of
-- the bars too where they continue it. `own` is the highest one of trades where bars are above it, else null. A day without one
-- starts from zero; from null where older trades are unknown, or where another source had a total before, because then what was
-- traded before is counted already.
CREATE FUNCTION candleworks.continued_total(
    wanted text, day_start timestamptz, day_end timestamptz, moment timestamptz, source text,
    OUT highest double precision, OUT own double precision
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    leader text := candleworks.leading_source(wanted, day_start, day_end, source);
    bars double precision;
    others boolean;
BEGIN
    SELECT max(t.day_volume) FILTER (WHERE t.origin <> 'bar' AND candleworks.is_counted(t.origin, source, leader)),
        max(t.day_volume) FILTER (WHERE t.origin = 'bar' AND candleworks.is_counted(t.origin, source, leader)),
        coalesce(bool_or(t.day_volume IS NOT NULL), false)
    INTO own, bars, others
    FROM public.stocks_real_time t
    WHERE t.symbol = wanted AND t.time >= day_start AND t.time < moment;
    highest := greatest(own, bars);
    IF highest IS NULL AND NOT others
        AND EXISTS (SELECT FROM public.stocks_real_time t WHERE t.symbol = wanted AND t.time < day_start)
    THEN
        highest := 0;
    END IF;
    own := CASE WHEN bars > coalesce(own, 0) THEN coalesce(own, 0) END;
END $$;

-- Whether other trades than the feed's may have running totals on a day: those of a file do.
CREATE FUNCTION candleworks.was_imported(day_start timestamptz, day_end timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.import_files f
        WHERE f.status = 'importing' OR f.status = 'imported' AND f.first < day_end AND f.last >= day_start
    )
$$;

-- As before, by source: `origin` is that of the trades that came. On a day with several running totals all of it is looked at.
DROP FUNCTION candleworks.recompute_volumes(text[], timestamptz[], timestamptz[], timestamptz[], timestamptz[], double precision[]);
CREATE FUNCTION candleworks.recompute_volumes(
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

-- With a running total, the first trade after a gap has the volume of the gap. That of a candle is distinguished where its first
-- trade is such a one: a gap that begins in the candle lies between its trades. A bar in the gap has taken that volume over.
CREATE FUNCTION public.volume_before(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, volume_before double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    wanted text := symbol;
    start timestamptz := CASE WHEN isfinite("from") THEN candleworks.bucket_start("from", period, zone) ELSE '-infinity' END;
    stop timestamptz := CASE WHEN isfinite("to") THEN candleworks.bucket_end(
        candleworks.bucket_start("to" - interval '1 microsecond', period, zone), period, zone
    ) ELSE 'infinity' END;
BEGIN
    RETURN QUERY
    WITH missed AS (
        SELECT g.range FROM unnest(candleworks.down_times(wanted, start - interval '7 days', stop)) g(range)
    ), trade AS (
        SELECT DISTINCT t.time, t.volume
        FROM missed m
        -- The second in which a gap begins is that of the last trade before it; another may lie within it: the vendor's
        -- snapshot at the end of the gap.
        CROSS JOIN LATERAL (VALUES (lower(m.range) + interval '1 second'), (upper(m.range))) p(moment)
        CROSS JOIN LATERAL (
            SELECT s.time, s.day_volume, s.volume, s.origin FROM public.stocks_real_time s
            WHERE s.symbol = wanted AND s.time >= p.moment AND s.time < least(stop, p.moment + interval '7 days')
                AND candleworks.total_source(s.origin) IN ('twelvedata', 'bar')
            ORDER BY s.time LIMIT 1
        ) t
        WHERE t.origin <> 'bar' AND t.day_volume IS NOT NULL AND t.volume > 0 AND t.time >= start
    )
    SELECT b.bucket, t.volume
    FROM trade t
    CROSS JOIN LATERAL (SELECT candleworks.bucket_start(t.time, period, zone) AS bucket) b
    WHERE NOT EXISTS (
        SELECT FROM public.stocks_real_time e
        WHERE e.symbol = wanted AND e.time >= b.bucket AND e.time < t.time
            AND candleworks.total_source(e.origin) IN ('twelvedata', 'bar')
    )
    ORDER BY 1;
END $$;
COMMENT ON FUNCTION public.volume_before IS
    'How much of the volume of trade candles of ohlc() was traded before their first trade, while the feed was down in a gap that'
    ' is not filled: a running total does not say when. Oldest first; candles without such volume have no row. "period",'
    ' "from", "to" and "zone" as for ohlc().';

-- As before, and volume without what was traded before the candle's first trade.
CREATE OR REPLACE FUNCTION dashboards.candles(
    symbol text, width interval, "from" timestamptz, "to" timestamptz, price text
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, sma_20 double precision, sma_50 double precision, vwap double precision,
    forming double precision, decimals integer
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    start timestamptz := public.time_bucket(width, "from");
    stop timestamptz := "to" + interval '1 microsecond';
    times record := dashboards.trading_times(symbol, start, "to");
    widest interval := least(width, greatest(("to" - "from") / 60, interval '1 second'));
    day_starts timestamptz[] := CASE WHEN side.family = 'trade' AND width < interval '24 hours'
        THEN candleworks.trading_day_starts(symbol, start, "to") END;
BEGIN
    RETURN QUERY EXECUTE $sql$
        WITH candle AS (
            SELECT b.*, s.value AS sma_20, l.value AS sma_50, v.value AS vwap
            FROM (
                SELECT o.bucket, o.open, o.high, o.low, o.close, o.volume - coalesce(e.volume_before, 0) AS volume, o.closed
                FROM public.ohlc($1, $4, $2, $3, $5) o
                LEFT JOIN public.volume_before($1, $4, $2, $3) e ON e.bucket = o.bucket AND $11
            ) b
            LEFT JOIN indicators.sma($1, $4, $2, $3, 20, $5) s ON s.bucket = b.bucket
            LEFT JOIN indicators.sma($1, $4, $2, $3, 50, $5) l ON l.bucket = b.bucket
            LEFT JOIN (
                SELECT w.bucket, CASE WHEN width_bucket(w.bucket, $9) = lag(width_bucket(w.bucket, $9))
                    OVER (ORDER BY w.bucket) IS NOT FALSE THEN w.value END AS value
                FROM indicators.vwap($1, $4, $2, $3) w
                WHERE $9 IS NOT NULL
            ) v ON v.bucket = b.bucket
        ), shown AS MATERIALIZED (
            SELECT c.*, c.bucket + $4 AS stop, lead(c.bucket) OVER (ORDER BY c.bucket) AS next FROM candle c
        ), span AS (
            SELECT min(s.low) AS low, max(s.high) AS high,
                min(s.next - s.bucket) > $10 IS NOT false AS apart, max(s.bucket) + $10 AS neighbour
            FROM shown s HAVING count(*) > 0
        ), digits AS (
            SELECT least(max(scale(trim_scale(p.price::numeric))), 8) AS decimals
            FROM (SELECT * FROM shown s ORDER BY s.bucket DESC LIMIT 200) s
            CROSS JOIN LATERAL (VALUES (s.open), (s.high), (s.low), (s.close)) p(price)
        )
        SELECT s.bucket, s.open, s.high, s.low, s.close, s.volume,
            CASE WHEN s.sma_20 BETWEEN p.low AND p.high THEN s.sma_20 END,
            CASE WHEN s.sma_50 BETWEEN p.low AND p.high THEN s.sma_50 END,
            CASE WHEN s.vwap BETWEEN p.low AND p.high THEN s.vwap END,
            CASE WHEN NOT s.closed THEN s.close END, d.decimals
        FROM shown s CROSS JOIN span p CROSS JOIN digits d
        UNION ALL
        SELECT s.stop, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM shown s
        WHERE $4 < interval '24 hours' AND s.next > s.stop
            AND dashboards.interrupted(tstzrange(s.stop, s.next), $7, $8, $6)
        UNION ALL
        SELECT p.neighbour, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM span p WHERE p.apart
        ORDER BY 1
    $sql$
    USING symbol, start, stop, width, price, times.zone, times.open_times, times.down_times, day_starts, widest,
        side.family = 'trade';
END $$;
SELECT candleworks.set_up_reader();
