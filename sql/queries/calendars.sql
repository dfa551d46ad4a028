-- name: calendar_sources
SELECT name, source FROM candleworks.calendars

-- name: calendar_rules
SELECT symbol, calendar FROM candleworks.calendar_rules

-- name: lock_calendars
SELECT pg_advisory_xact_lock(hashtext('candleworks.calendars'))

-- name: replace_calendar_rules
WITH wanted AS (
    SELECT * FROM unnest(%(symbols)s::text[], %(calendars)s::text[]) w(symbol, calendar)
), gone AS (
    DELETE FROM candleworks.calendar_rules r WHERE NOT EXISTS (SELECT FROM wanted w WHERE w.symbol = r.symbol)
)
INSERT INTO candleworks.calendar_rules SELECT symbol, calendar FROM wanted
ON CONFLICT (symbol) DO UPDATE SET calendar = excluded.calendar

-- name: save_calendar
INSERT INTO candleworks.calendars (name, first_day, last_day, source)
VALUES (%(name)s, %(first_day)s, %(last_day)s, %(source)s)
ON CONFLICT (name) DO UPDATE SET
    first_day = excluded.first_day, last_day = excluded.last_day, source = excluded.source

-- name: forget_sessions
DELETE FROM candleworks.sessions WHERE calendar = %(name)s
