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

-- Whether a symbol has daily bars. Acts for the owner, so that a reader of candles needs no right to the table.
CREATE FUNCTION candleworks.has_daily_bars(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM public.daily_bars d WHERE d.symbol = wanted);

-- Functions that mean days with ticks go on reading them. What reads a level by its width takes candles_1d, and so does
-- candles_of() of a symbol with daily bars; of others it reads what candles_1d is made of, if it may, because a plan for
-- candles_1d takes plain PostgreSQL 13 ms longer.
DO $$
DECLARE
    meant record;
    definition text;
BEGIN
    FOR meant IN
        SELECT p.oid AS function, r.*
        FROM (VALUES
            ('public', 'session_candles', 'public.candles_1d', 'public.tick_candles_1d'),
            ('candleworks', 'candles_of', 'EXISTS (SELECT FROM public.daily_bars d WHERE d.symbol = candles_of.symbol)',
                'NOT candleworks.has_daily_bars(symbol) AND has_table_privilege(''public.tick_candles_1d'', ''SELECT'')'),
            ('candleworks', 'candles_of', '''daily_candles''', '''tick_candles_1d'''),
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
