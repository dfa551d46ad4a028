-- Taking over a database that already has the tutorial's tables. Each old table is renamed to ..._before_candleworks and
-- its rows are copied into ours; the old one is only read. docs/how-to/adopt-a-database.md.

-- name: has_timescaledb
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')

-- name: continuous_aggregates
-- What each one is, what it reads, and where it keeps its rows.
SELECT
    (quote_ident(view_schema) || '.' || quote_ident(view_name))::regclass::oid,
    (quote_ident(hypertable_schema) || '.' || quote_ident(hypertable_name))::regclass::oid,
    (quote_ident(materialization_hypertable_schema) || '.' || quote_ident(materialization_hypertable_name))::regclass::oid
FROM timescaledb_information.continuous_aggregates

-- name: relations_named
-- Those of the names that exist in public: whether it is a table, the statement that sets it aside, and, where it is not
-- ours to change, the one that makes it so.
SELECT c.relname, c.relkind IN ('r', 'p'),
    format('ALTER %%s public.%%I RENAME TO %%I', k.kind, c.relname, left(c.relname, 44) || '_before_candleworks'),
    CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') THEN
        format('ALTER %%s public.%%I OWNER TO %%I', k.kind, c.relname, current_user)
    END
FROM pg_class c
CROSS JOIN LATERAL (SELECT CASE
    WHEN c.oid = ANY(%(aggregates)s::oid[]) OR c.relkind = 'm' THEN 'MATERIALIZED VIEW'
    WHEN c.relkind = 'v' THEN 'VIEW'
    WHEN c.relkind = 'S' THEN 'SEQUENCE'
    WHEN c.relkind = 'f' THEN 'FOREIGN TABLE'
    ELSE 'TABLE'
END AS kind) k
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%(names)s)
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
ORDER BY c.relname

-- name: columns_of
-- Each column and its kind: time, text, number, or the type's name when it is none of them.
SELECT a.attname, CASE
    WHEN a.atttypid = 'timestamptz'::regtype THEN 'time'
    WHEN t.typcategory = 'S' THEN 'text'
    WHEN t.typcategory = 'N' THEN 'number'
    ELSE format_type(a.atttypid, NULL)
END
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = ('public.' || quote_ident(%(table)s))::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum

-- name: readers_of
-- Views and continuous aggregates that read one of the tables, at any depth, and the statement that sets each aside. They
-- keep reading the renamed table; those that already say so in their name are left out.
WITH RECURSIVE edges AS (
    SELECT d.refobjid AS source, r.ev_class AS reader
    FROM pg_depend d
    JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> d.refobjid
    UNION ALL
    SELECT a.source, a.reader
    FROM unnest(%(sources)s::oid[] || %(sources)s::oid[], %(aggregates)s::oid[] || %(stores)s::oid[]) a(source, reader)
), readers AS (
    SELECT e.reader FROM edges e
    WHERE e.source IN (
        SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%(tables)s)
    )
    UNION
    SELECT e.reader FROM readers r JOIN edges e ON e.source = r.reader
)
SELECT format('%%I.%%I', n.nspname, c.relname), format(
    'ALTER %%s %%I.%%I RENAME TO %%I',
    CASE WHEN c.oid = ANY(%(aggregates)s::oid[]) OR c.relkind = 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END,
    n.nspname, c.relname, left(c.relname, 44) || '_before_candleworks'
)
FROM readers r
JOIN pg_class c ON c.oid = r.reader
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname NOT LIKE '\_timescaledb\_%%'
    AND c.relname NOT LIKE '%%\_before\_candleworks'
ORDER BY 1

-- name: references_to
-- Foreign keys of other tables on one of the tables: whose, on what, and the statement that removes it.
SELECT k.conrelid::regclass::text, c.relname, format('ALTER TABLE %%s DROP CONSTRAINT %%I', k.conrelid::regclass, k.conname)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.confrelid
WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%(tables)s)
    AND k.conrelid NOT IN (
        SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%(tables)s)
    )
ORDER BY 1, 3

-- name: grants_of
-- The statements that give our table the rights that were granted on the old one.
SELECT format(
    'GRANT %%s ON public.%%I TO %%s%%s', a.privilege_type, %(table)s::text,
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
)
FROM pg_class c
CROSS JOIN LATERAL aclexplode(c.relacl) a
WHERE c.oid = ('public.' || quote_ident(%(table)s || '_before_candleworks'))::regclass AND a.grantee <> c.relowner

-- name: chunk_ranges
-- Without gaps from -infinity to infinity, as texts, and whether a compressed chunk lies in the range; no row for a table
-- without chunks.
WITH chunks AS (
    SELECT range_start, range_end, is_compressed FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'public' AND hypertable_name = 'stocks_real_time_before_candleworks'
), ranges AS (
    SELECT
        CASE WHEN row_number() OVER (ORDER BY range_start) = 1 THEN '-infinity' ELSE range_start END AS start,
        lead(range_start, 1, 'infinity') OVER (ORDER BY range_start) AS stop
    FROM (SELECT DISTINCT range_start FROM chunks) s
)
SELECT r.start::text, r.stop::text, EXISTS (
    SELECT FROM chunks c WHERE c.is_compressed AND c.range_start < r.stop AND c.range_end > r.start
)
FROM ranges r ORDER BY r.start

-- name: week_ranges
-- The same for a table without chunks: whole weeks, put together up to some max_rows rows.
WITH weeks AS (
    SELECT date_bin('7 days', time, '2000-01-03 00:00:00+00') AS week, count(*) AS trades
    FROM public.stocks_real_time_before_candleworks WHERE isfinite(time) GROUP BY 1
), parts AS (
    SELECT week, (sum(trades) OVER (ORDER BY week) - trades)::bigint / %(max_rows)s AS part FROM weeks
), ranges AS (
    SELECT
        CASE WHEN part = 0 THEN '-infinity' ELSE min(week) END AS start,
        lead(min(week), 1, 'infinity') OVER (ORDER BY part) AS stop
    FROM parts GROUP BY part
)
SELECT start::text, stop::text, false FROM ranges ORDER BY start

-- name: create_stage
CREATE TEMP TABLE staged_adoption (
    position tid,
    time timestamptz,
    symbol text,
    price double precision,
    day_volume double precision,
    total double precision
) ON COMMIT DROP;
CREATE TEMP TABLE adopted_symbols (symbol text PRIMARY KEY, zone text NOT NULL, first_day date NOT NULL) ON COMMIT DROP

-- name: empty_stage
TRUNCATE staged_adoption

-- name: stage_range
-- A row's position in its chunk is the order in which it arrived.
INSERT INTO staged_adoption (position, time, symbol, price, day_volume)
SELECT ctid, time, symbol, price, day_volume
FROM public.stocks_real_time_before_candleworks
WHERE time >= %(start)s::timestamptz AND (time < %(stop)s::timestamptz OR %(stop)s::timestamptz = 'infinity')

-- name: stage_compressed_range
-- Compression forgets the order of rows with equal times; the running total brings it back (49,809 of 49,999 real ticks).
INSERT INTO staged_adoption (time, symbol, price, day_volume, total)
SELECT time, symbol, price, day_volume, day_volume
FROM public.stocks_real_time_before_candleworks
WHERE time >= %(start)s::timestamptz AND (time < %(stop)s::timestamptz OR %(stop)s::timestamptz = 'infinity')

-- name: reject_staged
-- Moves rows that cannot be ticks to rejected_ticks, by the rules of an import.
WITH judged AS (
    SELECT s.ctid AS at, row_to_json(r) AS payload, CASE
        WHEN s.time < %(earliest)s THEN format('time %%L is before 1990', s.time)
        WHEN s.time > %(latest)s THEN format('time %%L is in the future', s.time)
        WHEN s.symbol IS NULL OR s.symbol !~ %(symbol_pattern)s THEN format('invalid symbol %%L', s.symbol)
        WHEN s.price IS NULL THEN 'price is null'
        WHEN s.price IN ('NaN', 'Infinity', '-Infinity') THEN format('price %%L is not a number', s.price)
        WHEN s.price < 0 THEN format('price %%L is negative', s.price)
        WHEN s.price = 0 AND NOT %(accept_zero)s THEN format('price %%L is zero', s.price)
        WHEN s.price <> 0 AND s.price NOT BETWEEN %(smallest)s AND %(largest)s THEN format('price %%L is out of range', s.price)
        WHEN s.day_volume IN ('NaN', 'Infinity', '-Infinity') THEN format('day_volume %%L is not a number', s.day_volume)
        WHEN s.day_volume < 0 THEN format('day_volume %%L is negative', s.day_volume)
        WHEN s.day_volume <> 0 AND s.day_volume NOT BETWEEN %(smallest)s AND %(largest)s
            THEN format('day_volume %%L is out of range', s.day_volume)
    END AS reason
    FROM staged_adoption s
    CROSS JOIN LATERAL (SELECT s.time, s.symbol, s.price, s.day_volume) r
), rejected AS (
    DELETE FROM staged_adoption s USING judged j WHERE s.ctid = j.at AND j.reason IS NOT NULL
    RETURNING j.reason, j.payload
)
INSERT INTO public.rejected_ticks (received_at, feed, reason, payload, kind)
SELECT now(), 'public.stocks_real_time_before_candleworks', reason, payload, 'row' FROM rejected

-- name: staged_symbols
SELECT DISTINCT symbol FROM staged_adoption

-- name: prepare_staged
-- Makes a partition for every week that has rows; the second more is for ordinals.
SELECT candleworks.prepare_ticks(w.first, w.last)
FROM (
    SELECT min(time) AS first, max(time) + interval '1 second' AS last
    FROM staged_adoption GROUP BY date_bin('7 days', time, '2000-01-03 00:00:00+00')
) w

-- name: note_symbols
-- Ranges come oldest first, so the first day that a symbol is seen on is its first.
INSERT INTO adopted_symbols (symbol, zone, first_day)
SELECT z.symbol, z.zone, (min(s.time) AT TIME ZONE z.zone)::date
FROM unnest(%(symbols)s::text[], %(zones)s::text[]) z(symbol, zone)
JOIN staged_adoption s ON s.symbol = z.symbol
GROUP BY z.symbol, z.zone
ON CONFLICT (symbol) DO NOTHING

-- name: place_staged
-- Inserts the staged rows of the range that begins at start. A time that is taken moves on by a microsecond, in arrival
-- order; with whole seconds that is the ordinal within the event time. volume is the increase of the running maximum of
-- day_volume within the trading day of the symbol's zone: from what earlier ranges have of that day (total), from
-- zero on later days than the symbol's first, else unknown. The bounds by start say nothing new, but let the planner
-- leave out older chunks: without them the last of 3,000 days took 60 times as long as the first.
WITH symbols AS MATERIALIZED (
    SELECT a.symbol, a.zone, a.first_day, (f.first AT TIME ZONE a.zone)::date AS day,
        (
            SELECT max(t.time) FROM public.stocks_real_time t
            WHERE t.symbol = a.symbol AND t.time >= f.first AND t.time >= %(start)s::timestamptz
        ) AS taken,
        (
            SELECT max(t.day_volume) FROM public.stocks_real_time t
            WHERE t.symbol = a.symbol AND t.time < f.first
                AND t.time >= (f.first AT TIME ZONE a.zone)::date::timestamp AT TIME ZONE a.zone
                AND t.time >= %(start)s::timestamptz - interval '2 days'
        ) AS total
    FROM adopted_symbols a
    JOIN (SELECT symbol, min(time) AS first FROM staged_adoption GROUP BY symbol) f ON f.symbol = a.symbol
), numbered AS (
    SELECT s.*, s.ctid AS staged, (s.time AT TIME ZONE y.zone)::date AS trading_day, y.first_day, y.taken,
        CASE WHEN (s.time AT TIME ZONE y.zone)::date = y.day THEN y.total END AS total_before,
        row_number() OVER (PARTITION BY s.symbol ORDER BY s.time, s.position, s.total, s.ctid)
            * interval '1 microsecond' AS nth
    FROM staged_adoption s JOIN symbols y ON y.symbol = s.symbol
), placed AS (
    SELECT n.*,
        nth + greatest(taken, max(time - nth) OVER (
            PARTITION BY symbol ORDER BY time, position, total, staged ROWS UNBOUNDED PRECEDING
        )) AS moment,
        greatest(total_before, max(day_volume) OVER (
            PARTITION BY symbol, trading_day ORDER BY time, position, total, staged
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )) AS highest
    FROM numbered n
)
INSERT INTO public.stocks_real_time (time, symbol, price, day_volume, volume, received_at, origin)
SELECT moment, symbol, price, day_volume,
    candleworks.volume_increase(day_volume, highest, trading_day > first_day),
    now(), 'adopted'
FROM placed

-- name: adopt_companies
-- Of several rows with one symbol the last one counts; a column that the old table does not have is null.
INSERT INTO public.company (symbol, name, exchange, currency, type)
SELECT DISTINCT ON (symbol)
    symbol, name, to_jsonb(c) ->> 'exchange', to_jsonb(c) ->> 'currency', to_jsonb(c) ->> 'type'
FROM public.company_before_candleworks c
WHERE symbol IS NOT NULL AND name IS NOT NULL
ORDER BY symbol, ctid DESC

-- name: count_companies
SELECT count(*) FROM public.company_before_candleworks

-- name: database_is_empty
-- Whether nothing was ever made here; what an extension brings does not count.
SELECT to_regnamespace('candleworks') IS NULL AND NOT EXISTS (
    SELECT FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
)

-- name: count_rows
SELECT count(*) FROM public.{table}
