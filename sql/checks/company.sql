-- Subscribed stocks without a row in company. An empty company has not been filled yet.
SELECT l.symbol AS subject, 'no row in company' AS observed, 'a row in company' AS expected, NULL::jsonb AS sample
FROM jsonb_to_recordset(%(limits)s) l(symbol text, class text)
WHERE l.class = 'stock' AND l.symbol = ANY (%(streamed)s)
    AND EXISTS (SELECT FROM public.company)
    AND NOT EXISTS (SELECT FROM public.company c WHERE c.symbol = l.symbol)
