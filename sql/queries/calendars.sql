-- name: calendar_sources
SELECT name, source FROM candleworks.calendars

-- name: calendar_rules
SELECT symbol, calendar FROM candleworks.calendar_rules

-- name: replace_calendar_rules
WITH wanted AS (
    SELECT * FROM unnest(%(symbols)s::text[], %(calendars)s::text[]) w(symbol, calendar)
), gone AS (
    DELETE FROM candleworks.calendar_rules r WHERE NOT EXISTS (SELECT FROM wanted w WHERE w.symbol = r.symbol)
)
INSERT INTO candleworks.calendar_rules SELECT symbol, calendar FROM wanted
ON CONFLICT (symbol) DO UPDATE SET calendar = excluded.calendar

-- name: currencies
SELECT code FROM candleworks.currencies

-- name: replace_currencies
WITH wanted AS (
    SELECT code FROM unnest(%(codes)s::text[]) w(code)
), gone AS (
    DELETE FROM candleworks.currencies c WHERE NOT EXISTS (SELECT FROM wanted w WHERE w.code = c.code)
)
INSERT INTO candleworks.currencies SELECT code FROM wanted ON CONFLICT DO NOTHING

-- name: save_calendar
INSERT INTO candleworks.calendars (name, first_day, last_day, source, zone)
VALUES (%(name)s, %(first_day)s, %(last_day)s, %(source)s, %(zone)s)
ON CONFLICT (name) DO UPDATE SET
    first_day = excluded.first_day, last_day = excluded.last_day, source = excluded.source, zone = excluded.zone

-- name: forget_sessions
DELETE FROM candleworks.sessions WHERE calendar = %(name)s

-- name: sessions_around
SELECT s.calendar, r.opened_at, r.closed_at
FROM candleworks.sessions s
CROSS JOIN LATERAL (
    VALUES (s.open_at, coalesce(s.break_start, s.close_at)), (s.break_end, s.close_at)
) r(opened_at, closed_at)
WHERE s.calendar = ANY(%(calendars)s) AND r.opened_at IS NOT NULL
    AND s.close_at > %(moment)s - interval '1 day' AND s.open_at < %(moment)s + interval '7 days'
ORDER BY 1, 2
