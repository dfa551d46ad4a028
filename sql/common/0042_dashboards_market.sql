-- The Market dashboard draws candles of seconds, marks those that are not closed, and asks for the trading times of compared
-- symbols once, not for every candle.
-- Locks: none.

-- The widths to choose from: the stored levels, and seconds.
CREATE FUNCTION dashboards.widths() RETURNS TABLE (name text, width interval)
LANGUAGE sql STABLE AS $$
    SELECT l.name, l.width FROM candleworks.candle_levels l
    UNION ALL
    SELECT s || 's', make_interval(secs => s) FROM unnest(ARRAY[1, 5, 15, 30]) s
$$;

CREATE OR REPLACE FUNCTION dashboards.level(width interval) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT w.name FROM dashboards.widths() w WHERE w.width = level.width
$$;

-- The width that is drawn over ["from", "to"]: the chosen one while that is at most 5,000 candles, else the narrowest one that is;
-- for 'auto' the narrowest stored one with at most 400, which hold the minutes of a session.
CREATE OR REPLACE FUNCTION dashboards.drawn_width(choice text, "from" timestamptz, "to" timestamptz) RETURNS interval
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN choice = 'auto' THEN dashboards.width('auto', extract(epoch FROM "to" - "from") * 1000 / 400) ELSE (
        SELECT coalesce(min(w.width) FILTER (WHERE w.width >= chosen.width AND w.width * 5000 >= "to" - "from"), max(w.width))
        FROM dashboards.widths() w CROSS JOIN (SELECT coalesce((SELECT c.width FROM dashboards.widths() c WHERE c.name = choice), '1 minute') AS width) chosen
    ) END
$$;

-- Candles of a width that hold any moment of ["from", "to"], oldest first, with the averages of the last 20 and 50
-- closes and, for candles shorter than a day, the volume-weighted average price since the trading day began (trades only,
-- null where a day begins inside of the range, so that days are not connected). Averages outside of what the candles span are null: they
-- would set the scale. `decimals` are those of the prices; `forming` is the close of a candle that is not closed.
-- Two kinds of rows have only a time. One ends the lines where nothing was traded, one follows the last candle where no
-- two are neighbours, or they would be wider than among sixty: Grafana makes a candle as wide as the smallest distance of
-- two rows.
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
                SELECT o.bucket, o.open, o.high, o.low, o.close, o.volume, o.closed FROM public.ohlc($1, $4, $2, $3, $5) o
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
    USING symbol, start, stop, width, price, times.zone, times.open_times, times.down_times, day_starts, widest;
END $$;

-- As before, with the trading times of each symbol asked for once.
CREATE OR REPLACE FUNCTION dashboards.changes(symbols text[], "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    "time" timestamptz, symbol text, change double precision
)
LANGUAGE sql STABLE AS $$
    WITH candle AS (
        SELECT s.symbol, c.bucket, c.bucket + w.width AS stop, lead(c.bucket) OVER same AS next, w.width,
            100 * (c.close / nullif(first_value(c.open) OVER same, 0) - 1) AS change
        FROM dashboards.drawn_width('auto', "from", "to") w(width)
        CROSS JOIN unnest(symbols) s(symbol)
        CROSS JOIN LATERAL public.ohlc(s.symbol, w.width, "from", "to") c(bucket)
        WINDOW same AS (PARTITION BY s.symbol ORDER BY c.bucket)
    ), times AS MATERIALIZED (
        SELECT s.symbol, t.* FROM unnest(symbols) s(symbol) CROSS JOIN LATERAL dashboards.trading_times(s.symbol, "from", "to") t
    )
    SELECT c.bucket, c.symbol, c.change FROM candle c
    UNION ALL
    SELECT c.stop, c.symbol, NULL
    FROM candle c JOIN times t ON t.symbol = c.symbol
    WHERE c.width < interval '24 hours' AND c.next > c.stop
        AND dashboards.interrupted(tstzrange(c.stop, c.next), t.open_times, t.down_times, t.zone)
    ORDER BY 1, 2
$$;
SELECT candleworks.set_up_reader();
