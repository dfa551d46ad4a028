-- name: stored_symbols
-- Every symbol with candles of trades or quotes; daily candles name each a few hundred times a year.
SELECT symbol FROM public.tick_candles_1d UNION SELECT symbol FROM public.quote_candles_1d ORDER BY 1

-- name: known_companies
SELECT symbol FROM public.company WHERE symbol = ANY(%(symbols)s::text[])
