-- As before, but it reads the sessions near `start` alone, and not all that began before `stop`: those of 35 years. None lasts
-- a week; the longest, those of FX, last a day.
CREATE OR REPLACE FUNCTION candleworks.open_times(wanted text, start timestamptz, stop timestamptz) RETURNS tstzmultirange
LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN wanted = '24/7' THEN '{(,)}' ELSE
        coalesce(range_agg(tstzrange(s.open_at, s.close_at)), '{}')
        - coalesce(range_agg(tstzrange(s.break_start, s.break_end)) FILTER (WHERE s.break_start IS NOT NULL), '{}')
    END
    FROM candleworks.sessions s
    WHERE s.calendar = wanted AND s.open_at < stop AND s.open_at > start - interval '7 days' AND s.close_at > start
$$;
