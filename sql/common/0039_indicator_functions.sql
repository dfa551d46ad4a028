-- The indicators: docs/reference/indicators.md has their formulas, sources and nulls. At the end, what dashboards show of them.
-- Locks: none.
CREATE FUNCTION indicators.sma(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 20, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
BEGIN
    PERFORM candleworks.require_length('sma', 'length', length);
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, length - 1);
    RETURN QUERY
    SELECT v.bucket, v.value
    FROM unnest(candles.buckets, candleworks.moving_mean(candles.close, length)) v(bucket, value)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.sma IS 'Simple moving average: the mean of the last "length" closes.';

CREATE FUNCTION indicators.ema(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 20, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
    weight double precision;
BEGIN
    PERFORM candleworks.require_length('ema', 'length', length);
    weight := 2.0 / (length + 1);
    candles := candleworks.series_of(
        symbol, period, "from", "to", price, zone, length + candleworks.settling_candles(weight));
    RETURN QUERY
    SELECT v.bucket, v.value
    FROM unnest(candles.buckets, candleworks.smoothed(candles.close, length, weight)) v(bucket, value)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.ema IS
    'Exponential moving average of closes: each close moves it by 2 / ("length" + 1) of the difference.';

CREATE FUNCTION indicators.rma(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 14, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
    weight double precision;
BEGIN
    PERFORM candleworks.require_length('rma', 'length', length);
    weight := 1.0 / length;
    candles := candleworks.series_of(
        symbol, period, "from", "to", price, zone, length + candleworks.settling_candles(weight));
    RETURN QUERY
    SELECT v.bucket, v.value
    FROM unnest(candles.buckets, candleworks.smoothed(candles.close, length, weight)) v(bucket, value)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.rma IS
    'Wilder''s moving average of closes: each close moves it by 1 / "length" of the difference.';

CREATE FUNCTION indicators.wma(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 20, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
BEGIN
    PERFORM candleworks.require_length('wma', 'length', length);
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, length - 1);
    RETURN QUERY
    SELECT v.bucket, v.value
    FROM unnest(candles.buckets, candleworks.moving_weighted_mean(candles.close, length)) v(bucket, value)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.wma IS
    'Weighted moving average of the last "length" closes, the newest weighing "length" times as much as the oldest.';

CREATE FUNCTION indicators.bollinger(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 20,
    deviations double precision DEFAULT 2, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, upper double precision, middle double precision, lower double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
BEGIN
    PERFORM candleworks.require_length('bollinger', 'length', length),
        candleworks.require_between('bollinger', 'number of deviations', deviations, 0, 100);
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, length - 1);
    RETURN QUERY
    SELECT v.bucket, v.mean + deviations * v.deviation, v.mean, v.mean - deviations * v.deviation
    FROM unnest(
        candles.buckets, candleworks.moving_mean(candles.close, length), candleworks.moving_deviation(candles.close, length)
    ) v(bucket, mean, deviation)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.bollinger IS
    'Bollinger bands: the mean of the last "length" closes, and so many of their standard deviations above and below.';

CREATE FUNCTION indicators.donchian(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 20, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, upper double precision, middle double precision, lower double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
BEGIN
    PERFORM candleworks.require_length('donchian', 'length', length);
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, length - 1);
    RETURN QUERY
    SELECT v.bucket, v.highest, (v.highest + v.lowest) / 2, v.lowest
    FROM unnest(
        candles.buckets, candleworks.moving_extreme(candles.high, length, 1),
        candleworks.moving_extreme(candles.low, length, -1)
    ) v(bucket, highest, lowest)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.donchian IS
    'Donchian channel: the highest high and the lowest low of the last "length" candles, and half way between.';

CREATE FUNCTION indicators.keltner(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 20,
    ranges double precision DEFAULT 2, range_length integer DEFAULT 10, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, upper double precision, middle double precision, lower double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
    weight double precision;
BEGIN
    PERFORM candleworks.require_length('keltner', 'length', length),
        candleworks.require_between('keltner', 'number of ranges', ranges, 0, 100),
        candleworks.require_length('keltner', 'range length', range_length);
    weight := 2.0 / (length + 1);
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, greatest(
        length + candleworks.settling_candles(weight),
        1 + range_length + candleworks.settling_candles(1.0 / range_length)));
    RETURN QUERY
    SELECT v.bucket, v.average + ranges * v.true_range, v.average, v.average - ranges * v.true_range
    FROM unnest(
        candles.buckets, candleworks.smoothed(candles.close, length, weight),
        candleworks.smoothed(candleworks.true_ranges(candles), range_length, 1.0 / range_length)
    ) v(bucket, average, true_range)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.keltner IS
    'Keltner channel: the exponential average of closes, and so many average true ranges above and below.';

CREATE FUNCTION indicators.rsi(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 14, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
    weight double precision;
    changes double precision[];
BEGIN
    PERFORM candleworks.require_length('rsi', 'length', length);
    weight := 1.0 / length;
    candles := candleworks.series_of(
        symbol, period, "from", "to", price, zone, 1 + length + candleworks.settling_candles(weight));
    changes := candleworks.changes(candles.close);
    RETURN QUERY
    SELECT v.bucket, CASE WHEN v.moves < 1e-14 THEN 0 ELSE 50 + 50 * v.trend / v.moves END
    FROM unnest(
        candles.buckets, candleworks.smoothed(changes, length, weight),
        candleworks.smoothed(ARRAY(SELECT abs(c) FROM unnest(changes) c), length, weight)
    ) v(bucket, trend, moves)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.rsi IS
    'Relative strength index: how much of the average move of the last "length" closes was upward, in percent.';

CREATE FUNCTION indicators.macd(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    fast_length integer DEFAULT 12, slow_length integer DEFAULT 26, signal_length integer DEFAULT 9,
    price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, macd double precision, signal double precision, histogram double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
    line double precision[];
BEGIN
    PERFORM candleworks.require_length('macd', 'fast length', fast_length),
        candleworks.require_length('macd', 'slow length', slow_length),
        candleworks.require_length('macd', 'signal length', signal_length);
    IF fast_length >= slow_length THEN
        RAISE EXCEPTION 'indicators.macd: the fast length is %, it must be less than the slow length, which is %.',
            fast_length, slow_length USING ERRCODE = 'invalid_parameter_value';
    END IF;
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone,
        slow_length + candleworks.settling_candles(2.0 / (slow_length + 1))
        + signal_length + candleworks.settling_candles(2.0 / (signal_length + 1)));
    line := ARRAY(
        SELECT a.fast - a.slow
        FROM unnest(
            candleworks.smoothed(candles.close, fast_length, 2.0 / (fast_length + 1), slow_length),
            candleworks.smoothed(candles.close, slow_length, 2.0 / (slow_length + 1))
        ) a(fast, slow)
    );
    RETURN QUERY
    SELECT v.bucket, v.line, v.signal, v.line - v.signal
    FROM unnest(candles.buckets, line, candleworks.smoothed(line, signal_length, 2.0 / (signal_length + 1)))
        v(bucket, line, signal)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.macd IS
    'Moving average convergence/divergence: the fast exponential average of closes less the slow one, the exponential'
    ' average of that, and the difference.';

CREATE FUNCTION indicators.atr(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 14, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
    weight double precision;
BEGIN
    PERFORM candleworks.require_length('atr', 'length', length);
    weight := 1.0 / length;
    candles := candleworks.series_of(
        symbol, period, "from", "to", price, zone, 1 + length + candleworks.settling_candles(weight));
    RETURN QUERY
    SELECT v.bucket, v.value
    FROM unnest(candles.buckets, candleworks.smoothed(candleworks.true_ranges(candles), length, weight)) v(bucket, value)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.atr IS 'Average true range: Wilder''s moving average of the candles'' true ranges.';

CREATE FUNCTION indicators.stochastic(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 14,
    k_length integer DEFAULT 3, d_length integer DEFAULT 3, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, k double precision, d double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
    smooth_k double precision[];
BEGIN
    PERFORM candleworks.require_length('stochastic', 'length', length),
        candleworks.require_length('stochastic', 'length of k', k_length),
        candleworks.require_length('stochastic', 'length of d', d_length);
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, length + k_length + d_length - 3);
    smooth_k := candleworks.moving_mean(ARRAY(
        SELECT CASE WHEN w.highest = w.lowest THEN 0 ELSE 100 * (w.close - w.lowest) / (w.highest - w.lowest) END
        FROM unnest(
            candles.close, candleworks.moving_extreme(candles.high, length, 1),
            candleworks.moving_extreme(candles.low, length, -1)
        ) w(close, highest, lowest)
    ), k_length);
    RETURN QUERY
    SELECT v.bucket, v.k, v.d
    FROM unnest(candles.buckets, smooth_k, candleworks.moving_mean(smooth_k, d_length)) v(bucket, k, d)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.stochastic IS
    'Stochastic oscillator: where the close lies between the lowest low and the highest high of the last "length" candles'
    ' in percent, averaged (k), and the average of that (d).';

CREATE FUNCTION indicators.returns(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, simple double precision, log double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
BEGIN
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, 1);
    RETURN QUERY
    SELECT v.bucket, v.close / v.before - 1, ln(v.close / v.before)
    FROM (
        SELECT c.bucket, c.close, lag(c.close) OVER (ORDER BY c.place) AS before
        FROM (
            SELECT n.bucket, CASE WHEN n.close > 0 THEN n.close END AS close, n.place
            FROM unnest(candles.buckets, candles.close) WITH ORDINALITY n(bucket, close, place)
        ) c
    ) v
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.returns IS
    'The return of each close against the one before, as a share and as the logarithm of their ratio.';

CREATE FUNCTION indicators.volatility(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    length integer DEFAULT 20,
    periods_per_year double precision DEFAULT 1, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    candles candleworks.candle_series;
BEGIN
    PERFORM candleworks.require_length('volatility', 'length', length),
        candleworks.require_between('volatility', 'number of periods per year', periods_per_year, 1, 31622400);
    candles := candleworks.series_of(symbol, period, "from", "to", price, zone, length);
    RETURN QUERY
    SELECT v.bucket, sqrt(CASE WHEN v.squares < 0 THEN 0 ELSE v.squares END * periods_per_year)
    FROM unnest(candles.buckets, candleworks.moving_mean(ARRAY(
        SELECT c.change ^ 2
        FROM unnest(candleworks.changes(ARRAY(
            SELECT CASE WHEN n > 0 THEN ln(n) END FROM unnest(candles.close) n
        ))) c(change)
    ), length)) v(bucket, squares)
    WHERE v.bucket >= candles.first_shown;
END $$;
COMMENT ON FUNCTION indicators.volatility IS
    'Realised volatility: the root of the mean of the last "length" squared logarithmic returns, times the root of'
    ' "periods_per_year".';

-- What was traded in each candle, times price, and how much. Of trades exactly, since candles have their volume-weighted
-- average price; of quotes by the typical price of their candles. Reads as candles_of() does.
CREATE FUNCTION candleworks.traded_values(
    symbol text, period interval, start timestamptz, stop timestamptz, price text, zone text
) RETURNS TABLE (bucket timestamptz, traded double precision, volume double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    level text := candleworks.level_for(period);
    days_of text := CASE WHEN level = '1d' THEN nullif(zone, 'UTC') END;
BEGIN
    IF price <> 'trade' THEN
        RETURN QUERY
        SELECT c.bucket, (c.high + c.low + c.close) / 3 * c.volume, c.volume
        FROM public.ohlc(symbol, period, start, stop, price, zone) c;
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format('SELECT c.bucket, c.vwap * c.volume, c.volume FROM (%s) c ORDER BY c.bucket', CASE
        WHEN level = 'ticks' THEN candleworks.query_of_seconds('trade')
        WHEN days_of IS NOT NULL THEN candleworks.query_of_zone(
            'trade', 'candles_' || candleworks.level_for_zone(days_of, start, stop),
            period = date_trunc('month', period), false)
        WHEN extract(epoch FROM period) IN (60, 300, 900, 3600, 14400, 86400) THEN format(
            'SELECT * FROM public.%I WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND bucket < $4',
            candleworks.relation_of(symbol, '', level))
        ELSE candleworks.query_of_level('trade', candleworks.relation_of(symbol, '', level))
    END) USING symbol, period, start, stop, days_of;
END $$;

-- The start of the trading day that a moment belongs to.
CREATE FUNCTION candleworks.trading_day_start(symbol text, moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT max(d.start) FROM unnest(candleworks.trading_day_starts(symbol, moment, moment)) d(start) WHERE d.start <= moment
$$;

CREATE FUNCTION indicators.vwap(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    first_shown timestamptz := coalesce(candleworks.bucket_start("from", period, zone), '-infinity');
    since timestamptz := CASE WHEN isfinite(first_shown) AND period < interval '1 day'
        THEN candleworks.trading_day_start(symbol, first_shown) ELSE first_shown END;
    stop timestamptz := coalesce("to", 'infinity');
    buckets timestamptz[];
    traded double precision[];
    volumes double precision[];
    starts timestamptz[];
BEGIN
    PERFORM candleworks.price_side(price);
    IF candleworks.level_for(period) = 'ticks' THEN
        stop := least(stop, now() + interval '1 minute');
        IF stop - since > interval '7 days' THEN
            PERFORM count(*) FROM public.ohlc(symbol, period, since, stop); -- refuses the range
        END IF;
    END IF;
    SELECT array_agg(t.bucket), array_agg(t.traded), array_agg(t.volume) INTO buckets, traded, volumes
    FROM candleworks.traded_values(symbol, period, since, stop, price, zone) t;
    starts := CASE WHEN period < interval '1 day'
        THEN candleworks.trading_day_starts(symbol, buckets[1], buckets[cardinality(buckets)]) ELSE buckets END;
    RETURN QUERY
    SELECT v.bucket, v.value
    FROM (
        SELECT t.bucket, sum(t.traded) OVER day / nullif(sum(t.volume) OVER day, 0) AS value
        FROM unnest(buckets, traded, volumes) t(bucket, traded, volume)
        WINDOW day AS (PARTITION BY width_bucket(t.bucket, starts) ORDER BY t.bucket ROWS UNBOUNDED PRECEDING)
    ) v
    WHERE v.bucket >= first_shown
    ORDER BY v.bucket;
END $$;
COMMENT ON FUNCTION indicators.vwap IS
    'Volume-weighted average price since the trading day began; of periods of days and longer that of each candle.';

CREATE FUNCTION indicators.obv(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    first_shown timestamptz := coalesce(candleworks.bucket_start("from", period, zone), '-infinity');
    since timestamptz := CASE WHEN isfinite(first_shown) AND period < interval '1 day'
        THEN candleworks.trading_day_start(symbol, first_shown) END;
    candles candleworks.candle_series := candleworks.series_of(symbol, period, since, "to", price, zone, 0);
    starts timestamptz[] := CASE WHEN period < interval '1 day' AND cardinality(candles.buckets) > 0
        THEN candleworks.trading_day_starts(symbol, candles.buckets[1], candles.buckets[cardinality(candles.buckets)])
        ELSE ARRAY['-infinity'::timestamptz] END;
BEGIN
    RETURN QUERY
    SELECT v.bucket, v.value
    FROM (
        SELECT s.bucket, sum(s.volume * CASE WHEN s.close < s.before THEN -1 WHEN s.close = s.before THEN 0 ELSE 1 END)
            OVER (PARTITION BY s.day ORDER BY s.bucket ROWS UNBOUNDED PRECEDING) AS value
        FROM (
            SELECT d.*, lag(d.close) OVER (PARTITION BY d.day ORDER BY d.bucket) AS before
            FROM (
                SELECT c.*, width_bucket(c.bucket, starts) AS day
                FROM unnest(candles.buckets, candles.close, candles.volume) c(bucket, close, volume)
            ) d
        ) s
    ) v
    WHERE v.bucket >= first_shown
    ORDER BY v.bucket;
END $$;
COMMENT ON FUNCTION indicators.obv IS
    'On-balance volume: the volume of candles that closed higher less that of those that closed lower, since the'
    ' trading day began; of periods of days and longer since the symbol''s first candle.';

CREATE FUNCTION indicators.volume_profile(
    symbol text, period interval, "from" timestamptz, "to" timestamptz,
    bins integer DEFAULT 24, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (price_from double precision, price_to double precision, volume double precision, share double precision)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM candleworks.require_between('volume_profile', 'number of bins', bins, 1, 1000);
    RETURN QUERY
    WITH candle AS MATERIALIZED (
        SELECT c.low, c.high, c.volume FROM public.ohlc(symbol, period, "from", "to", price, zone) c WHERE c.volume > 0
    ), span AS (
        SELECT min(c.low) AS lowest, max(c.high) AS highest, sum(c.volume) AS total,
            (max(c.high) - min(c.low)) / bins AS height
        FROM candle c HAVING count(*) > 0
    ), bin AS (
        SELECT b.number, s.total,
            s.lowest + (b.number - 1) * s.height AS price_from, s.lowest + b.number * s.height AS price_to
        FROM span s CROSS JOIN generate_series(1, CASE WHEN s.height > 0 THEN bins ELSE 1 END) b(number)
    ), piece AS (
        SELECT b.number, c.volume * CASE
            WHEN c.high > c.low
                THEN greatest(least(c.high, b.price_to) - greatest(c.low, b.price_from), 0) / (c.high - c.low)
            ELSE 1
        END AS volume
        FROM candle c
        CROSS JOIN span s
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.height > 0 THEN least(bins, floor((c.low - s.lowest) / s.height)::integer + 1) ELSE 1 END AS first,
                CASE WHEN s.height > 0 THEN least(bins, floor((c.high - s.lowest) / s.height)::integer + 1) ELSE 1 END AS last
        ) n
        CROSS JOIN LATERAL generate_series(n.first, n.last) g(number)
        JOIN bin b ON b.number = g.number
    )
    SELECT b.price_from, b.price_to, coalesce(p.volume, 0), 100 * coalesce(p.volume, 0) / b.total
    FROM bin b
    LEFT JOIN (SELECT p.number, sum(p.volume) AS volume FROM piece p GROUP BY 1) p ON p.number = b.number
    ORDER BY b.number;
END $$;
COMMENT ON FUNCTION indicators.volume_profile IS
    'How much was traded at which price: "bins" equal steps from the lowest to the highest price of the range, each candle''s'
    ' volume spread evenly from its low to its high. share is in percent.';

-- One indicator with its usual parameters, one row per candle and line; those of prices with the closes. Rows without a
-- value end a line where nothing was traded. Only the chosen one is computed.
CREATE FUNCTION dashboards.indicator(
    choice text, symbol text, width interval, "from" timestamptz, "to" timestamptz, price text
) RETURNS TABLE ("time" timestamptz, line text, value double precision)
LANGUAGE sql STABLE AS $$
    WITH found AS MATERIALIZED (
        SELECT c.bucket, 'Close' AS line, c.close AS value FROM public.ohlc(symbol, width, "from", "to", price) c
        WHERE choice IN ('ema', 'wma', 'bollinger', 'donchian', 'keltner')
        UNION ALL
        SELECT i.bucket, 'EMA 20', i.value FROM indicators.ema(symbol, width, "from", "to", price => price) i
        WHERE choice = 'ema'
        UNION ALL
        SELECT i.bucket, 'WMA 20', i.value FROM indicators.wma(symbol, width, "from", "to", price => price) i
        WHERE choice = 'wma'
        UNION ALL
        SELECT i.bucket, l.line, l.value FROM indicators.bollinger(symbol, width, "from", "to", price => price) i
        CROSS JOIN LATERAL (VALUES ('Upper', i.upper), ('Middle', i.middle), ('Lower', i.lower)) l(line, value)
        WHERE choice = 'bollinger'
        UNION ALL
        SELECT i.bucket, l.line, l.value FROM indicators.donchian(symbol, width, "from", "to", price => price) i
        CROSS JOIN LATERAL (VALUES ('Upper', i.upper), ('Middle', i.middle), ('Lower', i.lower)) l(line, value)
        WHERE choice = 'donchian'
        UNION ALL
        SELECT i.bucket, l.line, l.value FROM indicators.keltner(symbol, width, "from", "to", price => price) i
        CROSS JOIN LATERAL (VALUES ('Upper', i.upper), ('Middle', i.middle), ('Lower', i.lower)) l(line, value)
        WHERE choice = 'keltner'
        UNION ALL
        SELECT i.bucket, 'RSI 14', i.value FROM indicators.rsi(symbol, width, "from", "to", price => price) i
        WHERE choice = 'rsi'
        UNION ALL
        SELECT i.bucket, l.line, l.value FROM indicators.macd(symbol, width, "from", "to", price => price) i
        CROSS JOIN LATERAL (VALUES ('MACD 12 26', i.macd), ('Signal 9', i.signal), ('Histogram', i.histogram)) l(line, value)
        WHERE choice = 'macd'
        UNION ALL
        SELECT i.bucket, 'ATR 14', i.value FROM indicators.atr(symbol, width, "from", "to", price => price) i
        WHERE choice = 'atr'
        UNION ALL
        SELECT i.bucket, l.line, l.value FROM indicators.stochastic(symbol, width, "from", "to", price => price) i
        CROSS JOIN LATERAL (VALUES ('%K 14', i.k), ('%D 3', i.d)) l(line, value)
        WHERE choice = 'stochastic'
        UNION ALL
        SELECT i.bucket, 'OBV', i.value FROM indicators.obv(symbol, width, "from", "to", price => price) i
        WHERE choice = 'obv'
        UNION ALL
        SELECT i.bucket, 'Volatility 20, %', 100 * i.value
        FROM indicators.volatility(symbol, width, "from", "to", price => price) i
        WHERE choice = 'volatility'
    ), span AS (
        SELECT s.stop, s.next
        FROM (
            SELECT f.bucket + width AS stop, lead(f.bucket) OVER (ORDER BY f.bucket) AS next
            FROM (SELECT DISTINCT f.bucket FROM found f) f
        ) s
        WHERE width < interval '24 hours' AND s.next > s.stop
    )
    SELECT f.bucket, f.line, f.value FROM found f
    UNION ALL
    SELECT s.stop, l.line, NULL
    FROM span s
    CROSS JOIN dashboards.trading_times(symbol, "from", "to") t
    CROSS JOIN (SELECT DISTINCT f.line FROM found f) l
    WHERE dashboards.interrupted(tstzrange(s.stop, s.next), t.open_times, t.down_times, t.zone)
    ORDER BY 1
$$;
SELECT candleworks.set_up_reader();
