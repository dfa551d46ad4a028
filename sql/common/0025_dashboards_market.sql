-- What the dashboards of the market and of quotes ask. Everything runs with the reader's own rights. Relations are chosen
-- by name in dynamic SQL, so that each call reads one level of candles and the planner sees plain comparisons with its
-- index columns.
-- Locks: none, everything is new.

-- The stored candle width for a choice: the level of that name; for 'auto' the narrowest one that is not narrower than a
-- pixel's share of the visible range, in milliseconds.
CREATE FUNCTION dashboards.width(choice text, interval_ms double precision) RETURNS interval
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        min(l.width) FILTER (WHERE l.name = choice),
        min(l.width) FILTER (WHERE extract(epoch FROM l.width) * 1000 >= interval_ms),
        max(l.width)
    )
    FROM candleworks.candle_levels l
$$;

-- The name of the level of that width, '1m' to '1d'.
CREATE FUNCTION dashboards.level(width interval) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT l.name FROM candleworks.candle_levels l WHERE l.width = level.width
$$;

-- Symbols to choose from: those with candles first, then those that are only known by name.
CREATE VIEW dashboards.symbols AS
SELECT s.symbol, concat_ws(' · ', s.symbol, c.name) || CASE WHEN s.stored THEN '' ELSE ' (no data)' END AS label, s.stored
FROM (
    SELECT n.symbol, bool_or(n.stored) AS stored
    FROM (
        SELECT d.symbol, true AS stored FROM public.candles_1d d GROUP BY d.symbol
        UNION ALL
        SELECT q.symbol, true FROM public.quote_candles_1d q GROUP BY q.symbol
        UNION ALL
        SELECT k.symbol, false FROM public.company k
    ) n
    GROUP BY n.symbol
) s
LEFT JOIN public.company c ON c.symbol = s.symbol;

-- Candles of a stored width that hold any moment of ["from", "to"], oldest first, with the averages of the last 20 and 50
-- closes (null while there are not as many) and the volume-weighted average price since 00:00 UTC (trades only).
-- The averages need candles from before "from", and the VWAP those of its day. A market that is open 6.5 hours on weekdays
-- fills a fifth of the hours, and may have been closed for four days; coins are traded all the time. Only 49 of them are
-- averaged over, because PostgreSQL adds up every window of floats anew (6,000 candles: 60 ms), and days are cut by
-- date_trunc(), because the time_bucket() of plain PostgreSQL takes 5 µs (34 ms).
CREATE FUNCTION dashboards.candles(
    symbol text, width interval, "from" timestamptz, "to" timestamptz, price text
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, sma_20 double precision, sma_50 double precision, vwap double precision
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    start timestamptz := public.time_bucket(width, "from");
    always_open boolean := strpos(symbol, '/') > 0 AND NOT candleworks.is_currency_pair(symbol);
    earlier timestamptz := CASE WHEN always_open THEN least(start - 100 * width, public.time_bucket('24 hours', start))
        ELSE start - 250 * width - interval '96 hours' END;
BEGIN
    RETURN QUERY EXECUTE format($sql$
        WITH candle AS (
            SELECT b.*,
                sum(b.weight) OVER day / nullif(sum(b.volume) OVER day, 0) AS vwap,
                row_number() OVER (ORDER BY b.bucket) AS number, count(*) FILTER (WHERE b.bucket < $4) OVER () AS earlier
            FROM (
                SELECT bucket, %s AS weight, %s FROM public.%I WHERE symbol = $1 AND bucket >= $2 AND bucket <= $3
            ) b (bucket, weight, open, high, low, close, volume)
            WINDOW day AS (PARTITION BY date_trunc('day', b.bucket, 'UTC') ORDER BY b.bucket)
        ), averaged AS (
            SELECT c.*,
                CASE WHEN count(*) OVER shorter = 20 THEN avg(c.close) OVER shorter END AS sma_20,
                CASE WHEN count(*) OVER longer = 50 THEN avg(c.close) OVER longer END AS sma_50
            FROM candle c
            WHERE c.number > c.earlier - 49
            WINDOW shorter AS (ORDER BY c.bucket ROWS 19 PRECEDING), longer AS (ORDER BY c.bucket ROWS 49 PRECEDING)
        )
        SELECT a.bucket, a.open, a.high, a.low, a.close, a.volume, a.sma_20, a.sma_50, a.vwap
        FROM averaged a
        WHERE a.bucket >= $4
        ORDER BY a.bucket
    $sql$,
        CASE side.family WHEN 'trade' THEN 'vwap * volume' ELSE 'NULL::double precision' END,
        side.columns, side.prefix || 'candles_' || dashboards.level(width))
    USING symbol, earlier, "to", start;
END $$;

-- Every symbol that was traded in the seven days before a moment, as it stood then: its last tick, the change against the
-- previous close, and the candle of its UTC day. `only_symbol` leaves one.
-- The previous close is the last price before the end of the last regular session that was over at the last tick; pairs
-- that trade around the clock end theirs at 00:00 UTC. Sought in the eight hours before that end, then in the 30 days.
-- One statement for all symbols: a function for each took 160 ms for 50 of them on TimescaleDB.
CREATE FUNCTION dashboards.prices(moment timestamptz, only_symbol text DEFAULT NULL) RETURNS TABLE (
    symbol text, name text, "time" timestamptz, price double precision, previous_close double precision,
    change double precision, change_percent double precision, high double precision, low double precision,
    volume double precision, vwap double precision, ticks bigint
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        SELECT d.symbol, k.name, t.time, t.price, p.close, t.price - p.close,
            100 * (t.price - p.close) / nullif(p.close, 0), d.high, d.low, d.volume, d.vwap, d.ticks
        FROM (
            SELECT DISTINCT ON (symbol) * FROM public.candles_1d
            WHERE bucket > $1 - interval '7 days' AND bucket <= $1 %s
            ORDER BY symbol, bucket DESC
        ) d
        CROSS JOIN LATERAL (
            SELECT time, price FROM public.stocks_real_time t
            WHERE t.symbol = d.symbol AND t.time >= d.bucket AND t.time <= $1 ORDER BY t.time DESC LIMIT 1
        ) t
        CROSS JOIN LATERAL (SELECT candleworks.calendar_of(d.symbol) AS name) followed
        CROSS JOIN LATERAL (
            SELECT CASE WHEN followed.name = '24/7' THEN public.time_bucket('24 hours', t.time) ELSE (
                SELECT s.close_at FROM candleworks.sessions s
                WHERE s.calendar = followed.name AND s.open_at < t.time AND s.close_at <= t.time
                ORDER BY s.open_at DESC LIMIT 1
            ) END AS stop
        ) e
        LEFT JOIN LATERAL (
            SELECT c.close FROM public.candles_5m c
            WHERE c.symbol = d.symbol AND c.bucket >= e.stop - interval '8 hours' AND c.bucket < e.stop
            ORDER BY c.bucket DESC LIMIT 1
        ) h ON true
        LEFT JOIN LATERAL (
            SELECT c.close FROM public.candles_1d c
            WHERE h.close IS NULL AND c.symbol = d.symbol
                AND c.bucket >= e.stop - interval '30 days' AND c.bucket <= e.stop - interval '24 hours'
            ORDER BY c.bucket DESC LIMIT 1
        ) b ON true
        CROSS JOIN LATERAL (SELECT coalesce(h.close, b.close) AS close) p
        LEFT JOIN public.company k ON k.symbol = d.symbol
    $sql$, CASE WHEN only_symbol IS NOT NULL THEN 'AND symbol = $2' END)
    USING moment, only_symbol;
END $$;

-- What was traded of every symbol in ["from", "to"], whole buckets of the given width. Goes through the index once per
-- symbol instead of through everybody's candles of all times.
CREATE FUNCTION dashboards.volumes(width interval, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    symbol text, name text, volume double precision, turnover double precision, ticks bigint
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        SELECT s.symbol, k.name, c.volume, c.turnover, c.ticks
        FROM (
            SELECT DISTINCT symbol FROM public.candles_1d
            WHERE bucket >= public.time_bucket('24 hours', $2) AND bucket <= $3
        ) s
        CROSS JOIN LATERAL (
            SELECT sum(b.volume) AS volume, sum(b.vwap * b.volume) AS turnover, sum(b.ticks)::bigint AS ticks
            FROM public.%I b
            WHERE b.symbol = s.symbol AND b.bucket >= public.time_bucket($1, $2) AND b.bucket <= $3
        ) c
        LEFT JOIN public.company k ON k.symbol = s.symbol
        WHERE c.ticks > 0
    $sql$, 'candles_' || dashboards.level(width))
    USING width, "from", "to";
END $$;

-- Runs of candles with ticks from a vendor's bars.
CREATE FUNCTION dashboards.rebuilt(symbol text, width interval, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    started_at timestamptz, ended_at timestamptz, candles bigint
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        SELECT min(r.bucket), max(r.bucket) + $2, count(*)
        FROM (
            SELECT bucket, bucket - row_number() OVER (ORDER BY bucket) * $2 AS run
            FROM public.%I
            WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND bucket <= $4 AND rebuilt
        ) r
        GROUP BY r.run
        ORDER BY 1
    $sql$, 'candles_' || dashboards.level(width))
    USING symbol, width, "from", "to";
END $$;

-- The gaps of the feeds that overlap ["from", "to") and affect the symbol, filled ones included.
CREATE FUNCTION dashboards.gaps(symbol text, "from" timestamptz, "to" timestamptz) RETURNS SETOF public.feed_gaps
LANGUAGE sql STABLE AS $$
    SELECT * FROM candleworks.gaps_of(symbol, "from", "to")
$$;

-- The distance of bid and ask at the end of each candle, also in hundredths of a percent of their middle.
CREATE FUNCTION dashboards.spreads(symbol text, width interval, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    "time" timestamptz, spread double precision, basis_points double precision, ticks bigint
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        SELECT bucket, ask_close - bid_close, 20000 * (ask_close - bid_close) / nullif(ask_close + bid_close, 0), ticks
        FROM public.%I
        WHERE symbol = $1 AND bucket >= public.time_bucket($2, $3) AND bucket <= $4
        ORDER BY bucket
    $sql$, 'quote_candles_' || dashboards.level(width))
    USING symbol, width, "from", "to";
END $$;

-- The newest quote up to a moment, within seven days.
CREATE FUNCTION dashboards.last_quote(symbol text, moment timestamptz) RETURNS TABLE (
    "time" timestamptz, bid double precision, ask double precision, spread double precision,
    basis_points double precision
)
LANGUAGE sql STABLE AS $$
    SELECT q.time, q.bid, q.ask, q.ask - q.bid, 20000 * (q.ask - q.bid) / nullif(q.ask + q.bid, 0)
    FROM public.quotes q
    WHERE q.symbol = last_quote.symbol AND q.time <= moment AND q.time > moment - interval '7 days'
    ORDER BY q.time DESC LIMIT 1
$$;
