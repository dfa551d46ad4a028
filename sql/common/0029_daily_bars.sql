-- Daily bars of the vendor from before the one-minute history: they fill days and longer periods, and nothing shorter.
-- candles_1d stays what the ticks say, which is what the refresh, the audit and the checks work on; who reads days reads
-- daily_candles: docs/decisions/0047-daily-bars.md.
-- Locks: public.backfills and public.one_day_candle for a moment.
CREATE TABLE public.daily_bars (
    symbol text NOT NULL,
    bucket timestamptz NOT NULL CHECK (bucket = date_trunc('day', bucket, 'UTC')),
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    feed text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (symbol, bucket)
);
COMMENT ON TABLE public.daily_bars IS 'Daily bars of the vendor from before the history of one-minute bars.';
COMMENT ON COLUMN public.daily_bars.bucket IS
    'Midnight UTC of the bar''s date, which is a date of the exchange.';
COMMENT ON COLUMN public.daily_bars.open IS 'First price of the day.';
COMMENT ON COLUMN public.daily_bars.high IS 'Highest price.';
COMMENT ON COLUMN public.daily_bars.low IS 'Lowest price.';
COMMENT ON COLUMN public.daily_bars.close IS 'Last price of the day.';
COMMENT ON COLUMN public.daily_bars.volume IS 'Volume of the day. Null: the vendor has none.';
COMMENT ON COLUMN public.daily_bars.feed IS 'The feed whose history it belongs to.';
COMMENT ON COLUMN public.daily_bars.received_at IS 'When the bar was fetched.';

-- A day with ticks, or minute bars, is that of candles_1d.
CREATE VIEW public.daily_candles AS
SELECT bucket, symbol, open, high, low, close, volume, vwap, day_volume, ticks, rebuilt FROM public.candles_1d
UNION ALL
SELECT d.bucket, d.symbol, d.open, d.high, d.low, d.close, d.volume, NULL::double precision, d.volume, 0::bigint, true
FROM public.daily_bars d
WHERE NOT EXISTS (SELECT FROM public.candles_1d c WHERE c.symbol = d.symbol AND c.bucket = d.bucket);
COMMENT ON VIEW public.daily_candles IS
    'candles_1d, and for days without a candle the vendor''s daily bars: what ohlc() reads for days and longer periods.';

DO $$
DECLARE
    col record;
BEGIN
    FOR col IN
        SELECT a.attname, col_description(a.attrelid, a.attnum) AS meaning FROM pg_attribute a
        WHERE a.attrelid = 'public.candles_1d'::regclass AND a.attnum > 0 AND NOT a.attisdropped
    LOOP
        EXECUTE format('COMMENT ON COLUMN public.daily_candles.%I IS %L', col.attname, col.meaning);
    END LOOP;
END $$;
COMMENT ON COLUMN public.daily_candles.vwap IS 'Volume-weighted average price. Null: no volume, or a daily bar.';
COMMENT ON COLUMN public.daily_candles.ticks IS 'Number of ticks. 0: a daily bar.';
COMMENT ON COLUMN public.daily_candles.rebuilt IS
    'Whether it is a daily bar, or a tick of the candle is rebuilt from a one-minute bar.';

CREATE OR REPLACE VIEW public.one_day_candle AS
    SELECT bucket, symbol, open, high, low, close, day_volume FROM public.daily_candles;
COMMENT ON VIEW public.one_day_candle IS 'daily_candles with the columns of TimescaleDB''s tutorial.';

-- Who may read candles_1d may read what its days are completed with.
DO $$
DECLARE
    reader text;
BEGIN
    FOR reader IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'public.candles_1d'::regclass AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON public.daily_bars, public.daily_candles TO %s', reader);
    END LOOP;
END $$;
INSERT INTO candleworks.readable (relation) VALUES ('backfills'), ('daily_bars'), ('daily_candles') ON CONFLICT DO NOTHING;
SELECT candleworks.set_up_reader();

-- As before, but days and longer periods of trades read daily_candles where the symbol has daily bars.
CREATE OR REPLACE FUNCTION candleworks.candles_of(
    symbol text, period interval, "from" timestamptz, "to" timestamptz, price text
) RETURNS TABLE (
    bucket timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, ticks bigint, rebuilt boolean
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    relation text := side.prefix || 'candles_' || candleworks.level_for(period);
    output text := concat('bucket, ', side.columns, ', ticks, ', CASE
        WHEN side.family = 'trade' THEN 'rebuilt'
        WHEN candleworks.has_quote_bars(symbol) THEN 'candleworks.quote_rebuilt($1, bucket, $2)'
        ELSE 'false'
    END);
    combined text;
BEGIN
    IF relation = 'candles_1d' AND EXISTS (SELECT FROM public.daily_bars d WHERE d.symbol = candles_of.symbol) THEN
        relation := 'daily_candles';
    END IF;
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
                AND b.bucket < $4 + $2 + interval '1 day' -- redundant, but bounds the search
            GROUP BY 1
        ) candles
        ORDER BY bucket
    $sql$, output, combined, relation)
    USING symbol, period, coalesce("from", '-infinity'), coalesce("to", 'infinity');
END $$;

ALTER TABLE public.backfills
    ADD COLUMN daily_wanted_from timestamptz,
    ADD COLUMN daily_from timestamptz,
    ADD COLUMN daily_bars bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN public.backfills.daily_wanted_from IS 'Start of the daily bars to load. Null: none are wanted.';
COMMENT ON COLUMN public.backfills.daily_from IS
    'Start of the daily bars that have been loaded; they end where wanted_from was. Null: nothing yet.';
COMMENT ON COLUMN public.backfills.daily_bars IS 'Number of daily bars that were written.';
