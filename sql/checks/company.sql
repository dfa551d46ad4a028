-- Stocks that feeds ask for and that company does not know; while company is empty nobody filled it yet.
SELECT l.symbol AS subject, 'not in company' AS observed, 'a row of company' AS expected, NULL::jsonb AS sample
FROM jsonb_to_recordset(%(limits)s) l(symbol text, class text)
WHERE l.class = 'stock' AND l.symbol = ANY (%(streamed)s)
    AND EXISTS (SELECT FROM public.company)
    AND NOT EXISTS (SELECT FROM public.company c WHERE c.symbol = l.symbol)
