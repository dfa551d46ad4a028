-- name: import_runs
-- The received_at of an import's ticks, and the first and last event time that it has read.
SELECT array_agg(received_at), min(first), max(last) FROM candleworks.import_runs WHERE sha256 = %(sha256)s

-- name: imported_symbols
-- The symbols of an import's ticks in a table; a bar's ticks may stand a day behind its beginning.
SELECT DISTINCT symbol FROM {table}
WHERE time >= %(first)s AND time < %(last)s::timestamptz + interval '25 hours' AND received_at = ANY(%(runs)s)
    AND origin IN ('file', 'bar')

-- name: imported_vendor_bars
-- The beginnings of the import's bars of trades.
SELECT b.minute FROM candleworks.vendor_bars b
WHERE b.symbol = %(symbol)s AND EXISTS (
    SELECT FROM public.stocks_real_time t
    WHERE t.symbol = b.symbol AND t.time = b.volume_at AND t.origin = 'bar' AND t.received_at = ANY(%(runs)s)
)

-- name: create_removed_ticks
CREATE TEMP TABLE IF NOT EXISTS removed_ticks (time timestamptz NOT NULL) ON COMMIT DELETE ROWS

-- name: remove_imported_ticks
-- Never for several symbols at once: TimescaleDB decompresses what the conditions on symbol and time leave.
WITH gone AS (
    DELETE FROM {table}
    WHERE symbol = %(symbol)s AND time >= %(first)s AND time < %(last)s::timestamptz + interval '25 hours'
        AND received_at = ANY(%(runs)s) AND origin = 'file'
    RETURNING time
)
INSERT INTO removed_ticks SELECT time FROM gone

-- name: removed_bounds
SELECT count(*), min(time), max(time) FROM removed_ticks

-- name: removed_days
-- The trading days of what was removed, by the exchange's dates.
SELECT d.start AT TIME ZONE %(zone)s, (d.start + interval '1 day') AT TIME ZONE %(zone)s
FROM (SELECT DISTINCT date_trunc('day', time AT TIME ZONE %(zone)s) AS start FROM removed_ticks) d

-- name: create_moved_ticks
CREATE TEMP TABLE IF NOT EXISTS {moved} ON COMMIT DELETE ROWS AS SELECT *, time AS place FROM {table} WITH NO DATA

-- name: take_moved_ticks
-- Ticks that stand behind removed ones of their event time, with the places that they move up to. A run of ticks that are a
-- microsecond apart is one event time.
WITH second AS (
    SELECT DISTINCT date_trunc('second', time) AS start FROM removed_ticks
), tick AS (
    SELECT time, 1 AS removed FROM removed_ticks
    UNION ALL
    SELECT t.time, 0 FROM second s
    JOIN {table} t ON t.symbol = %(symbol)s AND t.origin <> 'bar'
        AND t.time >= s.start AND t.time < s.start + interval '1 second'
), run AS (
    SELECT time, removed, time - row_number() OVER (ORDER BY time) * interval '1 microsecond' AS run FROM tick
), move AS MATERIALIZED (
    SELECT time, removed, sum(removed) OVER (PARTITION BY run ORDER BY time) AS steps FROM run
), taken AS (
    DELETE FROM {table} t USING move m
    WHERE t.symbol = %(symbol)s AND t.time >= %(first)s AND t.time < %(last)s::timestamptz + interval '1 second'
        AND t.time = m.time AND m.removed = 0 AND m.steps > 0
    RETURNING t.*, t.time - m.steps * interval '1 microsecond' AS place
)
INSERT INTO {moved} SELECT * FROM taken

-- name: put_moved_ticks
INSERT INTO {table} (time, {columns}) SELECT place, {columns} FROM {moved}

-- name: restore_vendor_bars
-- Bars of trades that the import had replaced, where no other bar stands by now.
WITH kept AS (
    SELECT r.ticks, b.* FROM candleworks.replaced_bars r
    CROSS JOIN LATERAL jsonb_populate_record(NULL::candleworks.vendor_bars, r.bar) b
    WHERE r.sha256 = %(sha256)s AND r.relation = 'vendor_bars' AND NOT EXISTS (
        SELECT FROM candleworks.vendor_bars o
        WHERE o.symbol = b.symbol AND o.minute > b.minute - interval '1 day' AND o.minute < b.minute + interval '1 day'
            AND (o.minute = b.minute OR o.parts && b.parts)
    )
), bar AS (
    INSERT INTO candleworks.vendor_bars (symbol, minute, parts, known, volume, volume_at)
    SELECT symbol, minute, parts, known, volume, volume_at FROM kept
), tick AS (
    INSERT INTO public.stocks_real_time (time, symbol, price, day_volume, volume, bid, ask, received_at, origin)
    SELECT t.time, t.symbol, t.price, t.day_volume, t.volume, t.bid, t.ask, t.received_at, t.origin
    FROM kept k CROSS JOIN LATERAL jsonb_populate_recordset(NULL::public.stocks_real_time, k.ticks) t
    ON CONFLICT DO NOTHING
)
SELECT symbol, minute, upper(parts) FROM kept

-- name: remove_quote_bar_sides
-- What the import brought of bars of quotes. Returns the bars that were stored: their quotes go with them.
WITH side AS (
    SELECT b.symbol, b.start, b.width, b.stored,
        b.bid_received_at = ANY(%(runs)s) IS TRUE AS bid, b.ask_received_at = ANY(%(runs)s) IS TRUE AS ask
    FROM candleworks.quote_bars b
    WHERE b.bid_received_at = ANY(%(runs)s) OR b.ask_received_at = ANY(%(runs)s)
), gone AS (
    DELETE FROM candleworks.quote_bars b USING side s
    WHERE b.symbol = s.symbol AND b.start = s.start AND b.width = s.width
        AND (s.bid OR b.bid_open IS NULL) AND (s.ask OR b.ask_open IS NULL)
), halved AS (
    UPDATE candleworks.quote_bars b SET
        stored = false,
        bid_open = CASE WHEN NOT s.bid THEN b.bid_open END, bid_high = CASE WHEN NOT s.bid THEN b.bid_high END,
        bid_low = CASE WHEN NOT s.bid THEN b.bid_low END, bid_close = CASE WHEN NOT s.bid THEN b.bid_close END,
        bid_volume = CASE WHEN NOT s.bid THEN b.bid_volume END,
        bid_received_at = CASE WHEN NOT s.bid THEN b.bid_received_at END,
        ask_open = CASE WHEN NOT s.ask THEN b.ask_open END, ask_high = CASE WHEN NOT s.ask THEN b.ask_high END,
        ask_low = CASE WHEN NOT s.ask THEN b.ask_low END, ask_close = CASE WHEN NOT s.ask THEN b.ask_close END,
        ask_volume = CASE WHEN NOT s.ask THEN b.ask_volume END,
        ask_received_at = CASE WHEN NOT s.ask THEN b.ask_received_at END
    FROM side s
    WHERE b.symbol = s.symbol AND b.start = s.start AND b.width = s.width
        AND NOT ((s.bid OR b.bid_open IS NULL) AND (s.ask OR b.ask_open IS NULL))
)
SELECT symbol, start, start + width, stored FROM side

-- name: restore_quote_bars
-- Bars of quotes that the import had replaced, where neither quotes nor other bars stand by now.
WITH kept AS (
    SELECT r.ticks, b AS bar FROM candleworks.replaced_bars r
    CROSS JOIN LATERAL jsonb_populate_record(NULL::candleworks.quote_bars, r.bar) b
    WHERE r.sha256 = %(sha256)s AND r.relation = 'quote_bars' AND NOT EXISTS (
        SELECT FROM candleworks.quote_bars o
        WHERE o.symbol = b.symbol AND o.start = b.start AND o.width = b.width
    ) AND NOT EXISTS (
        SELECT FROM public.quotes q WHERE q.symbol = b.symbol AND q.time >= b.start AND q.time < b.start + b.width
    )
), bar AS (
    INSERT INTO candleworks.quote_bars SELECT (bar).* FROM kept
), tick AS (
    INSERT INTO public.quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin)
    SELECT t.time, t.symbol, t.bid, t.ask, t.bid_volume, t.ask_volume, t.received_at, t.origin
    FROM kept k CROSS JOIN LATERAL jsonb_populate_recordset(NULL::public.quotes, k.ticks) t
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM kept

-- name: forget_replaced_bars
-- What the import had replaced, and its own bars that gave way to others: they shall not come back with these.
WITH own AS (
    DELETE FROM candleworks.replaced_bars r
    WHERE r.sha256 <> %(sha256)s AND (r.ticks -> 0 ->> 'received_at')::timestamptz = ANY(%(runs)s)
    RETURNING 1
), replaced AS (
    DELETE FROM candleworks.replaced_bars r WHERE r.sha256 = %(sha256)s
)
SELECT count(*) FROM own

-- name: forget_shared_totals
-- The days of [first, last] on which the ticks that are left are of one source.
DELETE FROM candleworks.shared_totals s
WHERE s.day_start <= %(last)s AND s.day_end > %(first)s AND (
    SELECT count(DISTINCT candleworks.total_source(t.origin)) FROM public.stocks_real_time t
    WHERE t.symbol = s.symbol AND t.time >= s.day_start AND t.time < s.day_end AND t.origin <> 'bar'
) < 2

-- name: forget_import
-- Returns how many rejected lines were forgotten.
WITH runs AS (
    DELETE FROM candleworks.import_runs WHERE sha256 = %(sha256)s
), progress AS (
    DELETE FROM candleworks.import_progress WHERE sha256 = %(sha256)s
), marked AS (
    UPDATE public.import_files SET status = 'undone' WHERE sha256 = %(sha256)s
), rejected AS (
    DELETE FROM public.rejected_ticks WHERE feed = %(path)s AND received_at = ANY(%(runs)s) RETURNING 1
)
SELECT count(*) FROM rejected

-- name: reopen_imports
-- Contents that were imported later and met ticks of the same time: some of these may have been the ones that are gone now.
UPDATE public.import_files SET status = 'importing'
WHERE sha256 <> %(sha256)s AND status = 'imported' AND duplicates > 0 AND imported_at > %(since)s
    AND first <= %(last)s AND last >= %(first)s
RETURNING path

-- name: find_imports
-- Imports by the name that the file had.
SELECT sha256 FROM public.import_files WHERE path = %(path)s AND status <> 'undone'
