-- Candles adjusted for splits: docs/decisions/0062-reading-from-programs.md.
-- Locks: none, everything is new.
CREATE TABLE public.splits (
    symbol text NOT NULL,
    date date NOT NULL,
    ratio double precision NOT NULL CHECK (ratio > 0 AND ratio < 'Infinity'),
    PRIMARY KEY (symbol, date)
);
COMMENT ON TABLE public.splits IS 'Splits, filled by hand. Only ohlc_adjusted() reads them.';
COMMENT ON COLUMN public.splits.date IS 'First day of the new price, a date of the exchange.';
COMMENT ON COLUMN public.splits.ratio IS 'New shares for an old one: 4 for a split of 4 for 1, 0.1 for a merger of 10 into 1.';
INSERT INTO candleworks.readable (relation) VALUES ('splits') ON CONFLICT DO NOTHING;

CREATE AGGREGATE candleworks.product(double precision) (SFUNC = float8mul, STYPE = double precision);

-- When the splits of a symbol take effect, at midnight of its exchange, in order of time; and by what to divide the prices from
-- before the first, from before the second and so on, and after the last, which is 1. Null for a symbol without splits.
CREATE FUNCTION candleworks.split_factors(wanted text, OUT moments timestamptz[], OUT factors double precision[])
LANGUAGE sql STABLE AS $$
    SELECT array_agg(f.moment ORDER BY f.moment), array_agg(f.factor ORDER BY f.moment) || 1::double precision
    FROM (
        SELECT s.date::timestamp AT TIME ZONE coalesce(c.zone, 'UTC') AS moment,
            candleworks.product(s.ratio) OVER (ORDER BY s.date DESC) AS factor
        FROM public.splits s
        LEFT JOIN candleworks.calendars c ON c.name = candleworks.calendar_of(s.symbol)
        WHERE s.symbol = wanted
    ) f
$$;

-- Candles of a period of up to a day, adjusted. One that a split falls into, such as the UTC day that begins with trades after
-- hours of the exchange's day before, is combined from its minutes. A daily bar, which has no ticks, was adjusted by the vendor
-- for the splits of before it was fetched.
CREATE FUNCTION candleworks.scaled_candles(
    wanted text, period interval, "from" timestamptz, "to" timestamptz, price text, zone text,
    moments timestamptz[], factors double precision[]
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, rebuilt boolean, closed boolean, volume_from text
)
LANGUAGE sql STABLE AS $$
    SELECT c.bucket, coalesce(p.open, c.open / f.factor), coalesce(p.high, c.high / f.factor),
        coalesce(p.low, c.low / f.factor), coalesce(p.close, c.close / f.factor),
        CASE WHEN p.open IS NULL THEN c.volume * f.factor ELSE p.volume END, c.ticks, c.rebuilt, c.closed, c.volume_from
    FROM candleworks.candles_of(wanted, period, "from", "to", price, zone) c
    CROSS JOIN LATERAL (
        SELECT candleworks.bucket_end(c.bucket, period, zone) AS stop,
            CASE WHEN c.ticks = 0 THEN (
                SELECT b.received_at FROM public.daily_bars b
                WHERE b.symbol = wanted AND b.bucket = (c.bucket AT TIME ZONE coalesce(zone, 'UTC')) AT TIME ZONE 'UTC'
            ) END AS fetched_at
    ) b
    CROSS JOIN LATERAL (SELECT factors[width_bucket(coalesce(b.fetched_at, c.bucket), moments) + 1] AS factor) f
    LEFT JOIN LATERAL (
        SELECT public.first(m.open / g.factor, m.bucket) AS open, max(m.high / g.factor) AS high, min(m.low / g.factor) AS low,
            public.last(m.close / g.factor, m.bucket) AS close, sum(m.volume * g.factor) AS volume
        FROM candleworks.candles_of(wanted, interval '1 minute', c.bucket, b.stop, price) m
        CROSS JOIN LATERAL (SELECT factors[width_bucket(m.bucket, moments) + 1] AS factor) g
        WHERE c.ticks > 0 AND period > interval '1 minute'
            AND width_bucket(c.bucket, moments) <> width_bucket(b.stop - interval '1 microsecond', moments)
    ) p ON true
$$;

-- What candles_of() returns, adjusted for splits. Half way between bid and ask is computed from adjusted bids and asks, as it is
-- from stored ones, and periods of more than a day from adjusted days.
CREATE FUNCTION candleworks.adjusted_candles_of(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text, zone text DEFAULT NULL
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, rebuilt boolean, closed boolean, volume_from text
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    wanted text := symbol;
    splits record := candleworks.split_factors(symbol);
    start timestamptz := coalesce("from", '-infinity');
    stop timestamptz := coalesce("to", 'infinity');
    unsettled tstzmultirange;
BEGIN
    IF splits.moments IS NULL THEN
        RETURN QUERY SELECT * FROM candleworks.candles_of(wanted, period, "from", "to", price, zone);
    ELSIF price = 'mid' THEN
        RETURN QUERY
        SELECT b.bucket, (b.open + a.open) / 2, (b.high + a.high) / 2, (b.low + a.low) / 2, (b.close + a.close) / 2,
            b.volume + a.volume, b.ticks, b.rebuilt, b.closed, b.volume_from
        FROM candleworks.adjusted_candles_of(wanted, period, "from", "to", 'bid', zone) b
        JOIN candleworks.adjusted_candles_of(wanted, period, "from", "to", 'ask', zone) a ON a.bucket = b.bucket
        ORDER BY b.bucket;
    ELSIF candleworks.level_for(period) <> '1d' OR period = interval '1 day' THEN
        RETURN QUERY
        SELECT * FROM candleworks.scaled_candles(wanted, period, "from", "to", price, zone, splits.moments, splits.factors) c
        ORDER BY c.bucket;
    ELSE
        IF isfinite(start) THEN
            start := candleworks.bucket_start(start, period, zone);
        END IF;
        IF isfinite(stop) THEN
            stop := candleworks.bucket_end(candleworks.bucket_start(stop - interval '1 microsecond', period, zone), period, zone);
        END IF;
        unsettled := candleworks.unsettled_times(wanted, start, stop);
        RETURN QUERY
        SELECT d.start, public.first(d.open, d.bucket), max(d.high), min(d.low), public.last(d.close, d.bucket), sum(d.volume),
            sum(d.ticks)::bigint, bool_or(d.rebuilt),
            candleworks.is_closed(d.start, candleworks.bucket_end(d.start, period, zone), unsettled), min(d.volume_from)
        FROM (
            SELECT c.*, candleworks.bucket_start(c.bucket, period, zone) AS start
            FROM candleworks.scaled_candles(
                wanted, interval '1 day', start, stop, price, zone, splits.moments, splits.factors
            ) c
        ) d
        GROUP BY d.start
        ORDER BY d.start;
    END IF;
END $$;

CREATE FUNCTION public.ohlc_adjusted(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text DEFAULT 'trade', zone text DEFAULT NULL
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, closed boolean, volume_from text
)
LANGUAGE sql STABLE AS $$
    SELECT c.bucket, c.open, c.high, c.low, c.close, c.volume, c.ticks, c.closed, c.volume_from
    FROM candleworks.adjusted_candles_of(symbol, period, "from", "to", price, zone) c
$$;
COMMENT ON FUNCTION public.ohlc_adjusted IS
    'ohlc() with prices divided by the ratios of all later splits of the symbol, and volumes multiplied by them. Daily bars of'
    ' the vendor are adjusted for the splits since they were fetched. Without splits it is ohlc().';
SELECT candleworks.set_up_reader();
