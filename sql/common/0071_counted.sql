-- How checks say numbers of things: 1 tick, 2 ticks; noun is the singular.
-- Locks: none, everything is new.
CREATE FUNCTION candleworks.counted(count numeric, noun text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(count, 'FM999,999,999,990') || ' ' || noun || CASE WHEN count = 1 THEN '' ELSE 's' END
$$;
