-- Bars behind ticks whose origin is 'bar': one-minute bars of trades, and bars of bid and ask.
-- Locks: none, everything is new.

-- parts is what of the minute lies in gaps, known how many ticks were there when it was filled: as soon as there are more,
-- the bar's ticks give way to them. volume_at is the time of the tick that carries the volume.
CREATE TABLE candleworks.vendor_bars (
    symbol text NOT NULL,
    minute timestamptz NOT NULL,
    parts tstzmultirange NOT NULL,
    known bigint NOT NULL,
    volume double precision,
    volume_at timestamptz NOT NULL,
    PRIMARY KEY (symbol, minute)
);

-- Bars of bid and ask may come in a file each: a quote has both, so a bar waits here for its other side. Once both are there
-- and no quote lies in the interval, its quotes are stored with the origin 'bar', and candles of quotes that hold such are
-- known as rebuilt. The columns received_at say which run of an import brought each side.
CREATE TABLE candleworks.quote_bars (
    symbol text NOT NULL,
    start timestamptz NOT NULL,
    width interval NOT NULL,
    bid_open double precision,
    bid_high double precision,
    bid_low double precision,
    bid_close double precision,
    bid_volume double precision,
    ask_open double precision,
    ask_high double precision,
    ask_low double precision,
    ask_close double precision,
    ask_volume double precision,
    stored boolean NOT NULL DEFAULT false,
    bid_received_at timestamptz,
    ask_received_at timestamptz,
    PRIMARY KEY (symbol, start, width),
    CHECK (NOT stored OR bid_open IS NOT NULL AND ask_open IS NOT NULL)
);

-- Whether any bars of a symbol's quotes are stored: most symbols have none, and their candles need not be looked at.
CREATE FUNCTION candleworks.has_quote_bars(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM candleworks.quote_bars b WHERE b.symbol = wanted AND b.stored)
$$;

-- Whether a candle of quotes holds stored bars. For its owner: who may read candles needs no right to the bars.
CREATE FUNCTION candleworks.quote_rebuilt(wanted text, first timestamptz, period interval) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM candleworks.quote_bars b
        WHERE b.symbol = wanted AND b.stored AND b.start > first - interval '1 day' AND b.start < first + period
            AND b.start + b.width > first
    )
$$;

-- Bars that gave way to what an import stored, with their ticks, by the import's content.
CREATE TABLE candleworks.replaced_bars (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 text NOT NULL,
    relation text NOT NULL CHECK (relation IN ('vendor_bars', 'quote_bars')),
    bar jsonb NOT NULL,
    ticks jsonb NOT NULL
);
CREATE INDEX replaced_bars_sha256 ON candleworks.replaced_bars (sha256);

-- The setting candleworks.import names the content that the session imports. Bars are deleted before their ticks.
CREATE FUNCTION candleworks.keep_replaced_bars() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    content text := nullif(current_setting('candleworks.import', true), '');
BEGIN
    IF content IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'vendor_bars' THEN
        INSERT INTO candleworks.replaced_bars (sha256, relation, bar, ticks)
        SELECT content, 'vendor_bars', to_jsonb(g), t.ticks
        FROM gone g
        CROSS JOIN LATERAL (
            SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.time), '[]') AS ticks
            FROM public.stocks_real_time t
            WHERE t.symbol = g.symbol AND t.origin = 'bar' AND t.time >= least(g.minute, lower(g.parts))
                AND t.time < greatest(g.minute + interval '1 minute', upper(g.parts))
        ) t;
    ELSE
        INSERT INTO candleworks.replaced_bars (sha256, relation, bar, ticks)
        SELECT content, 'quote_bars', to_jsonb(g), t.ticks
        FROM gone g
        CROSS JOIN LATERAL (
            SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.time), '[]') AS ticks
            FROM public.quotes t
            WHERE t.symbol = g.symbol AND t.origin = 'bar' AND t.time >= g.start AND t.time < g.start + g.width
        ) t;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_replaced AFTER DELETE ON candleworks.vendor_bars
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION candleworks.keep_replaced_bars();
CREATE TRIGGER keep_replaced AFTER DELETE ON candleworks.quote_bars
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION candleworks.keep_replaced_bars();

-- Gives the trades around new ones the volume that follows from the running maximum of day_volume within their trading day.
-- Only a stretch of the day can change: from the last trade before the new ones that raised the maximum (the seed) to the
-- first one after them that stands above all of them. Each day may be named once only. Written is symbol by symbol, because
-- for a join TimescaleDB decompresses all symbols of a chunk: 100,000 ticks, and it refuses.
CREATE FUNCTION candleworks.recompute_volumes(
    symbols text[], day_starts timestamptz[], day_ends timestamptz[], firsts timestamptz[], lasts timestamptz[],
    tops double precision[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    change record;
BEGIN
    FOR change IN
        WITH touched AS (
            SELECT * FROM unnest(symbols, day_starts, day_ends, firsts, lasts, tops)
                t(symbol, day_start, day_end, first, last, top)
        ), stretch AS MATERIALIZED (
            SELECT d.symbol, d.day_start, seed.time AS seed,
                coalesce(seed.time, d.day_start) AS start, coalesce(above.time, d.day_end - interval '1 microsecond') AS stop,
                seed.time IS NULL AND EXISTS (
                    SELECT FROM public.stocks_real_time p WHERE p.symbol = d.symbol AND p.time < d.day_start
                ) AS from_zero
            FROM touched d
            LEFT JOIN LATERAL (
                SELECT t.time FROM public.stocks_real_time t
                WHERE t.symbol = d.symbol AND t.time >= d.day_start AND t.time < d.first
                    AND t.day_volume IS NOT NULL AND (t.volume > 0 OR t.volume IS NULL)
                ORDER BY t.time DESC LIMIT 1
            ) seed ON true
            LEFT JOIN LATERAL (
                SELECT t.time FROM public.stocks_real_time t
                WHERE t.symbol = d.symbol AND t.time > d.last AND t.time < d.day_end
                    AND t.volume > 0 AND t.day_volume > d.top
                ORDER BY t.time LIMIT 1
            ) above ON true
        ), walked AS (
            SELECT s.symbol, s.day_start, t.time, t.volume, t.day_volume, s.from_zero, s.seed,
                max(t.day_volume) OVER (
                    PARTITION BY s.symbol, s.day_start ORDER BY t.time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS before
            FROM stretch s
            CROSS JOIN LATERAL (
                SELECT t.time, t.volume, t.day_volume FROM public.stocks_real_time t
                WHERE t.symbol = s.symbol AND t.time >= s.start AND t.time <= s.stop
            ) t
        ), due AS (
            SELECT symbol, day_start, time, volume AS stored,
                candleworks.volume_increase(day_volume, before, from_zero) AS volume
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
