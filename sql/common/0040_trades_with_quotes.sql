-- Trades as of quotes: each trade with the quote that was in force, and which side began it:
-- docs/decisions/0061-trades-as-of-quotes.md.
-- Locks: none, everything is new.

-- Raises an error unless a range has two ends and is not too long; returns true, so that a query can ask for it in WHERE.
CREATE FUNCTION candleworks.require_range(caller text, "from" timestamptz, "to" timestamptz, longest interval) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF "from" IS NULL OR "to" IS NULL OR NOT isfinite("from") OR NOT isfinite("to") OR "to" - "from" > longest THEN
        RAISE EXCEPTION '%: the range is from % to %, it must have two ends and be at most %.',
            caller, "from", "to", longest USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN true;
END $$;

-- Who began a trade, by Lee and Ready (1991): the buyer above the mid, the seller below it, at the mid whoever moved the price
-- last, upwards at `rise` or downwards at `fall`. Decimal prices are not exact in binary: 100.46 is at the mid of 100.45 and
-- 100.47, which is 100.46000000000001.
CREATE FUNCTION candleworks.side_of_trade(
    price double precision, bid double precision, ask double precision, rise timestamptz, fall timestamptz
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN 2 * price - bid - ask > 1e-14 * price THEN 'buy'
    WHEN 2 * price - bid - ask < -1e-14 * price THEN 'sell'
    WHEN bid IS NULL THEN NULL
    WHEN coalesce(rise, '-infinity') > coalesce(fall, '-infinity') THEN 'buy'
    WHEN fall IS NOT NULL THEN 'sell'
END;

-- Trades and quotes are merged by time in one pass, which carries along the last quote (the greatest array, because each begins
-- with its time) and the last changes of the price, both also from before the range. A search in the index of quotes for each of
-- a million trades takes 5 times as long, 14 times with a chunk per day on TimescaleDB.
CREATE FUNCTION public.trades_with_quotes(symbol text, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    "time" timestamptz, price double precision, volume double precision, quote_time timestamptz, bid double precision,
    ask double precision, mid double precision, spread double precision, quote_age_seconds double precision, side text
)
LANGUAGE sql STABLE ROWS 100000 AS $$
    WITH last_trade AS (
        SELECT t.time, t.price FROM public.stocks_real_time t
        WHERE t.symbol = $1 AND t.time < $2 AND t.origin <> 'bar' ORDER BY t.time DESC LIMIT 1
    ), trades AS (
        SELECT t.time, t.price, t.volume,
            t.price - coalesce(lag(t.price) OVER (ORDER BY t.time), (SELECT l.price FROM last_trade l)) AS change
        FROM public.stocks_real_time t
        WHERE t.symbol = $1 AND t.time >= $2 AND t.time < $3 AND t.origin <> 'bar'
    ), ticks AS (
        SELECT t.time, t.price, t.volume, NULL::timestamptz AS quote_time, NULL::double precision[] AS quote,
            CASE WHEN t.change > 0 THEN t.time END AS rise, CASE WHEN t.change < 0 THEN t.time END AS fall
        FROM trades t
        UNION ALL
        SELECT q.time, NULL, NULL, q.time, ARRAY[date_part('epoch', q.time), q.bid, q.ask], NULL, NULL
        FROM public.quotes q
        WHERE q.symbol = $1 AND q.time >= $2 AND q.time < $3 AND q.origin <> 'bar'
        UNION ALL
        (SELECT q.time, NULL, NULL, q.time, ARRAY[date_part('epoch', q.time), q.bid, q.ask], NULL, NULL
        FROM public.quotes q
        WHERE q.symbol = $1 AND q.time < $2 AND q.origin <> 'bar' ORDER BY q.time DESC LIMIT 1)
        UNION ALL
        (SELECT t.time, NULL, NULL, NULL, NULL, CASE WHEN l.price > t.price THEN t.time END,
            CASE WHEN l.price < t.price THEN t.time END
        FROM last_trade l
        JOIN public.stocks_real_time t ON t.symbol = $1 AND t.time < $2 AND t.price <> l.price AND t.origin <> 'bar'
        ORDER BY t.time DESC LIMIT 1)
    ), merged AS (
        -- The frame ends with what has the time of the row, so that a quote of the same time counts.
        SELECT t.time, t.price, t.volume, max(t.quote_time) OVER until AS quote_time, max(t.quote) OVER until AS quote,
            max(t.rise) OVER until AS rise, max(t.fall) OVER until AS fall
        FROM ticks t WINDOW until AS (ORDER BY t.time)
    )
    SELECT m.time, m.price, m.volume, m.quote_time, m.quote[2], m.quote[3], (m.quote[2] + m.quote[3]) / 2,
        m.quote[3] - m.quote[2], date_part('epoch', m.time - m.quote_time),
        candleworks.side_of_trade(m.price, m.quote[2], m.quote[3], m.rise, m.fall)
    FROM merged m
    WHERE candleworks.require_range('trades_with_quotes', $2, $3, interval '31 days') AND m.price IS NOT NULL
    ORDER BY m.time
$$;
COMMENT ON FUNCTION public.trades_with_quotes IS
    'Trades of ["from", "to"), at most 31 days, oldest first, each with the last quote at or before it, which is null where there'
    ' is none. side: who began the trade, buy or sell, by the rule of Lee and Ready (1991) without a delay of quotes: above or'
    ' below the mid, at the mid by the last change of the price; null without a quote or such a change. What was rebuilt from'
    ' bars is left out.';
SELECT candleworks.set_up_reader();
