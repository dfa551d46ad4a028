-- name: read_import
SELECT path, sha256, rows, stored, duplicates, rejected, first, last, imported_at
FROM public.import_files WHERE sha256 = %(sha256)s

-- name: save_import
INSERT INTO public.import_files (
    path, sha256, rows, stored, duplicates, rejected, first, last, status, imported_at
) VALUES (
    %(path)s, %(sha256)s, %(rows)s, %(stored)s, %(duplicates)s, %(rejected)s, %(first)s, %(last)s, 'imported',
    %(imported_at)s
)
ON CONFLICT (sha256) DO UPDATE SET
    path = excluded.path, rows = excluded.rows, stored = excluded.stored, duplicates = excluded.duplicates,
    rejected = excluded.rejected, first = excluded.first, last = excluded.last, imported_at = excluded.imported_at

-- name: merge_companies
INSERT INTO public.company AS c (symbol, name, exchange, currency, type)
SELECT u.symbol, coalesce(u.name, k.name, u.symbol), u.exchange, u.currency, u.type
FROM unnest(
    %(symbols)s::text[], %(names)s::text[], %(exchanges)s::text[], %(currencies)s::text[], %(types)s::text[]
) u(symbol, name, exchange, currency, type)
LEFT JOIN public.company k ON k.symbol = u.symbol
ON CONFLICT (symbol) DO UPDATE SET
    name = excluded.name,
    exchange = coalesce(excluded.exchange, c.exchange),
    currency = coalesce(excluded.currency, c.currency),
    type = coalesce(excluded.type, c.type)
WHERE (c.name, c.exchange, c.currency, c.type) IS DISTINCT FROM (
    excluded.name, coalesce(excluded.exchange, c.exchange), coalesce(excluded.currency, c.currency),
    coalesce(excluded.type, c.type)
)
