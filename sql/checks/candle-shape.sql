SELECT 'candles_1m' AS relation, c.symbol, c.bucket, c.open, c.high, c.low, c.close FROM public.candles_1m c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('1 minute', %(candles_from)s)
UNION ALL
SELECT 'candles_5m', c.symbol, c.bucket, c.open, c.high, c.low, c.close FROM public.candles_5m c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('5 minutes', %(candles_from)s)
UNION ALL
SELECT 'candles_15m', c.symbol, c.bucket, c.open, c.high, c.low, c.close FROM public.candles_15m c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('15 minutes', %(candles_from)s)
UNION ALL
SELECT 'candles_1h', c.symbol, c.bucket, c.open, c.high, c.low, c.close FROM public.candles_1h c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('1 hour', %(candles_from)s)
UNION ALL
SELECT 'candles_4h', c.symbol, c.bucket, c.open, c.high, c.low, c.close FROM public.candles_4h c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('4 hours', %(candles_from)s)
UNION ALL
SELECT 'candles_1d', c.symbol, c.bucket, c.open, c.high, c.low, c.close FROM public.candles_1d c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('24 hours', %(candles_from)s)
