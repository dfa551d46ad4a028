-- Candles under the names of TimescaleDB's tutorial, and the comments of all candles.
-- Locks: ACCESS EXCLUSIVE on the relations of candles for a moment, they are new.
GRANT SELECT ON candleworks.candle_relations TO PUBLIC;

DO $$
DECLARE
    candle record;
    col record;
BEGIN
    FOR candle IN SELECT r.relation, r.family, r.label FROM candleworks.candle_relations r LOOP
        EXECUTE format('COMMENT ON VIEW public.%I IS %L', candle.relation, format(
            'Candles of %s: %s per bucket and symbol, the forming one included.', candle.family || 's', candle.label));
        EXECUTE format(
            'COMMENT ON COLUMN public.%I.bucket IS %L', candle.relation, 'Start of the candle; days begin at 00:00 UTC.');
        FOR col IN SELECT c.name, c.meaning FROM candleworks.candle_columns c WHERE c.family = candle.family LOOP
            EXECUTE format('COMMENT ON COLUMN public.%I.%I IS %L', candle.relation, col.name, col.meaning);
        END LOOP;
    END LOOP;
END $$;

CREATE VIEW public.one_min_candle AS
    SELECT bucket, symbol, open, high, low, close, day_volume FROM public.candles_1m;
CREATE VIEW public.one_hour_candle AS
    SELECT bucket, symbol, open, high, low, close, day_volume FROM public.candles_1h;
CREATE VIEW public.one_day_candle AS
    SELECT bucket, symbol, open, high, low, close, day_volume FROM public.candles_1d;
COMMENT ON VIEW public.one_min_candle IS 'candles_1m with the columns of TimescaleDB''s tutorial.';
COMMENT ON VIEW public.one_hour_candle IS 'candles_1h with the columns of TimescaleDB''s tutorial.';
COMMENT ON VIEW public.one_day_candle IS 'candles_1d with the columns of TimescaleDB''s tutorial.';
