SELECT 'candles_1m' AS relation, c.symbol, c.bucket, c.bucket + interval '1 minute' AS until, c.open, c.high, c.low, c.close
FROM public.candles_1m c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('1 minute', %(start)s::timestamptz) AND c.bucket < %(stop)s::timestamptz
UNION ALL
SELECT 'candles_5m', c.symbol, c.bucket, c.bucket + interval '5 minutes' AS until, c.open, c.high, c.low, c.close
FROM public.candles_5m c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('5 minutes', %(start)s::timestamptz) AND c.bucket < %(stop)s::timestamptz
UNION ALL
SELECT 'candles_15m', c.symbol, c.bucket, c.bucket + interval '15 minutes' AS until, c.open, c.high, c.low, c.close
FROM public.candles_15m c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('15 minutes', %(start)s::timestamptz) AND c.bucket < %(stop)s::timestamptz
UNION ALL
SELECT 'candles_1h', c.symbol, c.bucket, c.bucket + interval '1 hour' AS until, c.open, c.high, c.low, c.close
FROM public.candles_1h c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('1 hour', %(start)s::timestamptz) AND c.bucket < %(stop)s::timestamptz
UNION ALL
SELECT 'candles_4h', c.symbol, c.bucket, c.bucket + interval '4 hours' AS until, c.open, c.high, c.low, c.close
FROM public.candles_4h c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('4 hours', %(start)s::timestamptz) AND c.bucket < %(stop)s::timestamptz
UNION ALL
SELECT 'candles_1d', c.symbol, c.bucket, c.bucket + interval '24 hours' AS until, c.open, c.high, c.low, c.close
FROM public.tick_candles_1d c
WHERE c.symbol = ANY (%(symbols)s) AND c.bucket >= public.time_bucket('24 hours', %(start)s::timestamptz) AND c.bucket < %(stop)s::timestamptz
