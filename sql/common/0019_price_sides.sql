-- Candles of any period for bid, ask and mid as well; docs/reference/http.md.
-- Locks: the rows of the replaced function, for a moment; everything else is new.

-- Readers call the functions below as themselves.
GRANT SELECT ON candleworks.candle_columns TO PUBLIC;

-- How a price side reads from the candles of its kind: the prefix of their relations' names, and its five prices and
-- volume in terms of their columns. Mid is half way between bid and ask of each of open, high, low and close; its volume
-- is that of both sides, null where neither had one.
CREATE FUNCTION candleworks.price_side(price text, OUT family text, OUT prefix text, OUT columns text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF price = 'trade' THEN
        SELECT 'trade', '', 'open, high, low, close, volume' INTO family, prefix, columns;
    ELSIF price IN ('bid', 'ask') THEN
        SELECT 'quote', 'quote_', format('%1$s_open, %1$s_high, %1$s_low, %1$s_close, %1$s_volume', price)
        INTO family, prefix, columns;
    ELSIF price = 'mid' THEN
        SELECT 'quote', 'quote_',
            '(bid_open + ask_open) / 2, (bid_high + ask_high) / 2, (bid_low + ask_low) / 2, (bid_close + ask_close) / 2,'
            ' coalesce(bid_volume + ask_volume, bid_volume, ask_volume)'
        INTO family, prefix, columns;
    ELSE
        RAISE EXCEPTION 'ohlc: the price side is %, it must be trade, bid, ask or mid.', quote_nullable(price)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- What ohlc() returns, and whether a tick of the candle was rebuilt from a vendor's bar (quotes never are).
CREATE FUNCTION candleworks.candles_of(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, rebuilt boolean
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    relation text := side.prefix || 'candles_' || candleworks.level_for(period);
    output text := concat('bucket, ', side.columns, ', ticks, ', CASE side.family WHEN 'trade' THEN 'rebuilt' ELSE 'false' END);
    combined text;
BEGIN
    -- A stored level is read as it is: 2,000 candles in 5 ms instead of 16.
    IF extract(epoch FROM period) IN (60, 300, 900, 3600, 14400, 86400) THEN
        RETURN QUERY EXECUTE format($sql$
            SELECT %s
            FROM public.%I
            WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND bucket < $4
            ORDER BY bucket
        $sql$, output, relation)
        USING symbol, period, coalesce("from", '-infinity'), coalesce("to", 'infinity');
        RETURN;
    END IF;
    -- Columns that the output leaves out are not computed: the planner drops them from a subquery.
    SELECT string_agg(format('%s AS %I', c.of_candles, c.name), ', ') INTO combined
    FROM candleworks.candle_columns c WHERE c.family = side.family;
    RETURN QUERY EXECUTE format($sql$
        SELECT %s FROM (
            SELECT public.time_bucket($2, b.bucket) AS bucket, %s
            FROM public.%I b
            WHERE b.symbol = $1 AND b.bucket >= public.time_bucket($2, $3) AND public.time_bucket($2, b.bucket) < $4
                AND b.bucket < $4 + $2 + interval '1 day' -- says nothing new, but bounds the search
            GROUP BY 1
        ) candles
        ORDER BY bucket
    $sql$, output, combined, relation)
    USING symbol, period, coalesce("from", '-infinity'), coalesce("to", 'infinity');
END $$;

-- Candles of `period` that hold any moment of ["from", "to"), all of them whole, oldest first; null stands for no bound.
-- volume is null where no tick of the candle had one. `price` names the side: trade, bid, ask or mid.
CREATE OR REPLACE FUNCTION public.ohlc(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text DEFAULT 'trade'
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint
)
LANGUAGE sql STABLE AS $$
    SELECT c.time, c.open, c.high, c.low, c.close, c.volume, c.ticks
    FROM candleworks.candles_of(symbol, period, "from", "to", price) c
$$;

-- The newest tick of a symbol on a price side before a moment, where its ticks are gone the newest minute; null when
-- there is none. An index finds the tick in 0.1 ms, while an ordered read of candles_1m would pass the symbol's whole
-- history, because its view has no order.
CREATE FUNCTION candleworks.newest_tick(wanted text, price text, before timestamptz DEFAULT 'infinity')
RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    found timestamptz;
    day timestamptz;
BEGIN
    IF side.family = 'trade' THEN
        SELECT t.time INTO found FROM public.stocks_real_time t
        WHERE t.symbol = wanted AND t.time < before ORDER BY t.time DESC LIMIT 1;
    ELSE
        SELECT t.time INTO found FROM public.quotes t
        WHERE t.symbol = wanted AND t.time < before ORDER BY t.time DESC LIMIT 1;
    END IF;
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    -- The day that `before` falls into may begin to trade after it.
    FOR day IN EXECUTE format(
        'SELECT d.bucket FROM public.%I d WHERE d.symbol = $1 AND d.bucket < $2 ORDER BY d.bucket DESC LIMIT 2',
        side.prefix || 'candles_1d'
    ) USING wanted, before LOOP
        EXECUTE format(
            'SELECT max(m.bucket) FROM public.%I m WHERE m.symbol = $1 AND m.bucket >= $2 AND m.bucket < $3',
            side.prefix || 'candles_1m'
        ) INTO found USING wanted, day, least(day + interval '24 hours', before);
        EXIT WHEN found IS NOT NULL;
    END LOOP;
    RETURN found;
END $$;
