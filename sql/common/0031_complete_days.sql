-- candles_1d is the candles of days, and for earlier years the vendor's daily bars: docs/decisions/0047-daily-bars.md.
-- Views of others that read candles_1d read tick_candles_1d from now on, what they read before.
-- Locks: ACCESS EXCLUSIVE on public.daily_candles for a moment.
ALTER VIEW public.daily_candles RENAME TO candles_1d;
COMMENT ON VIEW public.candles_1d IS
    'Candles of trades: 1d per bucket and symbol, the forming one included; days without ticks have the vendor''s'
    ' daily bars, where there are any.';
COMMENT ON VIEW public.tick_candles_1d IS
    'What candles_1d has from ticks: 1d per bucket and symbol, the forming one included.';
COMMENT ON VIEW public.one_day_candle IS 'candles_1d with the columns of TimescaleDB''s tutorial.';

DELETE FROM candleworks.readable WHERE relation = 'daily_candles';
INSERT INTO candleworks.readable (relation) VALUES ('tick_candles_1d') ON CONFLICT DO NOTHING;
SELECT candleworks.set_up_reader();

-- Functions that mean days with ticks go on reading them. What reads a level by its width takes candles_1d.
DO $$
DECLARE
    meant record;
    definition text;
BEGIN
    FOR meant IN
        SELECT p.oid AS function, r.*
        FROM (VALUES
            ('public', 'session_candles', 'public.candles_1d', 'public.tick_candles_1d'),
            ('candleworks', 'last_close_before', 'public.candles_1d', 'public.tick_candles_1d'),
            ('candleworks', 'newest_tick', 'side.prefix || ''candles_1d''',
                'coalesce(nullif(side.prefix, ''''), ''tick_'') || ''candles_1d'''),
            ('candleworks', 'level_differences', '''candles_'' || level',
                'CASE WHEN level = ''1d'' THEN ''tick_'' ELSE '''' END || ''candles_'' || level'),
            ('dashboards', 'prices', 'public.candles_1d', 'public.tick_candles_1d'),
            ('dashboards', 'volumes', 'public.candles_1d', 'public.tick_candles_1d'),
            ('dashboards', 'watermarks', 'level.prefix || ''candles_1d''',
                'coalesce(nullif(level.prefix, ''''), ''tick_'') || ''candles_1d''')
        ) r (namespace, name, days, days_with_ticks)
        LEFT JOIN pg_proc p ON p.proname = r.name AND p.pronamespace = r.namespace::regnamespace
    LOOP
        definition := pg_get_functiondef(meant.function);
        IF definition NOT LIKE '%' || meant.days || '%' THEN
            RAISE EXCEPTION 'The function %.% does not read candles_1d.', meant.namespace, meant.name;
        END IF;
        EXECUTE replace(definition, meant.days, meant.days_with_ticks);
    END LOOP;
END $$;

-- Whether a symbol has daily bars. Acts for the owner, so that a reader of candles needs no right to the table.
CREATE FUNCTION candleworks.has_daily_bars(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM public.daily_bars d WHERE d.symbol = wanted);

-- As before, but a right to candles_1d is enough. Days of a symbol without daily bars are read where they come from,
-- because a plan for candles_1d takes plain PostgreSQL 13 ms longer.
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
    IF relation = 'candles_1d' AND has_table_privilege('public.tick_candles_1d', 'SELECT')
        AND NOT candleworks.has_daily_bars(symbol)
    THEN
        relation := 'tick_candles_1d';
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
