-- candles_1d makes room for a view that has the vendor's daily bars, too: what follows from ticks is tick_candles_1d.
-- Locks: ACCESS EXCLUSIVE on public.candles_1d for a moment.
ALTER MATERIALIZED VIEW public.candles_1d RENAME TO tick_candles_1d;

-- Every relation of candles that follows from ticks: where it reads, and what it is called in reports ('1m', 'quote 1m').
CREATE OR REPLACE VIEW candleworks.candle_relations AS
SELECT
    f.name AS family,
    replace(f.prefix, '_', ' ') || l.name AS label,
    l.width,
    CASE WHEN f.name = 'trade' AND l.name = '1d' THEN 'tick_' ELSE f.prefix END || 'candles_' || l.name AS relation,
    'public.' || coalesce(f.prefix || 'candles_' || l.below, f.ticks) AS source,
    l.below IS NULL AS of_ticks
FROM candleworks.candle_families f CROSS JOIN candleworks.candle_levels l;
