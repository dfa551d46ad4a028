-- As before, but where candles are few, the second read does not go back four days at once: it took most of the time of an
-- indicator.
CREATE OR REPLACE FUNCTION candleworks.start_of_warm_up(
    symbol text, period interval, start timestamptz, stop timestamptz, price text, zone text, candles integer
) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    seconds double precision := extract(epoch FROM period) * candles * 1.5;
    earliest timestamptz := CASE WHEN period < interval '1 minute'
        THEN least(stop, now() + interval '1 minute') - interval '7 days' END;
    since timestamptz;
    buckets timestamptz[];
    reads integer := 0;
BEGIN
    LOOP
        reads := reads + 1;
        since := greatest(start - make_interval(secs => least(seconds, 3e9)), earliest);
        SELECT array_agg(c.bucket ORDER BY c.bucket DESC) INTO buckets
        FROM public.ohlc(symbol, period, since, start, price, zone) c;
        IF buckets[candles] IS NULL AND reads > 1 THEN
            earliest := coalesce(earliest, candleworks.first_candle_day(symbol, price, start), start);
        END IF;
        EXIT WHEN buckets[candles] IS NOT NULL OR since <= earliest;
        -- The second read goes as far as the candles of the first one suggest, the next one passes a long weekend; of ticks
        -- that would be too much.
        seconds := CASE WHEN reads = 1 AND cardinality(buckets) > 0 THEN seconds * candles / cardinality(buckets) * 1.5
            ELSE greatest(seconds * 8, CASE WHEN period >= interval '1 minute' THEN 345600 END) END;
    END LOOP;
    RETURN coalesce(buckets[candles], since);
END $$;

-- As before, but both averages are those of one series: each of them read the candles for itself.
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
    averaged candleworks.candle_series := candleworks.series_of(symbol, width, start, stop, price, NULL, 49);
BEGIN
    RETURN QUERY EXECUTE $sql$
        WITH candle AS (
            SELECT b.*, m.sma_20, m.sma_50, v.value AS vwap
            FROM (
                SELECT o.bucket, o.open, o.high, o.low, o.close, o.volume - coalesce(e.volume_before, 0) AS volume, o.closed
                FROM public.ohlc($1, $4, $2, $3, $5) o
                LEFT JOIN public.volume_before($1, $4, $2, $3) e ON e.bucket = o.bucket AND $11
            ) b
            LEFT JOIN unnest($12, $13, $14) m(bucket, sma_20, sma_50) ON m.bucket = b.bucket
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
        side.family = 'trade', averaged.buckets, candleworks.moving_mean(averaged.close, 20),
        candleworks.moving_mean(averaged.close, 50);
END $$;
