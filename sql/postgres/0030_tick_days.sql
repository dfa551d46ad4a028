-- candles_1d makes room for a view that has the vendor's daily bars, too: what follows from ticks is tick_candles_1d.
-- Locks: ACCESS EXCLUSIVE on public.candles_1d for a moment.
ALTER VIEW public.candles_1d RENAME TO tick_candles_1d;

-- Every relation of candles that follows from ticks: what it is called in reports ('1m', 'quote 1m'), the level below, the
-- table behind it, and what the refresh computes it from: it goes from the bottom up, so the stored candles of the level
-- below are right.
CREATE OR REPLACE VIEW candleworks.candle_relations AS
SELECT
    f.name AS family,
    replace(f.prefix, '_', ' ') || l.name AS label,
    l.width,
    CASE WHEN f.name = 'trade' AND l.name = '1d' THEN 'tick_' ELSE f.prefix END || 'candles_' || l.name AS relation,
    f.prefix || 'candles_' || l.below AS below,
    'candleworks.stored_' || f.prefix || l.name AS stored,
    coalesce('candleworks.stored_' || f.prefix || l.below, 'public.' || f.ticks) AS stored_source,
    'candleworks.' || f.prefix || 'candle_invalidations' AS notes,
    l.below IS NULL AS of_ticks
FROM candleworks.candle_families f CROSS JOIN candleworks.candle_levels l;
