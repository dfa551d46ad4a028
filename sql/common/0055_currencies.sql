-- Currencies and precious metals: the program's list, which `candleworks migrate` keeps up to date here, like calendars. The
-- function had a copy of its own; it fills the table.
CREATE TABLE candleworks.currencies (code text PRIMARY KEY);
GRANT SELECT ON candleworks.currencies TO PUBLIC;
INSERT INTO candleworks.currencies
SELECT c.code
FROM (
    SELECT chr(a) || chr(b) || chr(c) AS code
    FROM generate_series(65, 90) a CROSS JOIN generate_series(65, 90) b CROSS JOIN generate_series(65, 90) c
) c
WHERE candleworks.is_currency_pair(c.code || '/USD');

CREATE OR REPLACE FUNCTION candleworks.is_currency_pair(wanted text) RETURNS boolean
LANGUAGE sql STABLE STRICT AS $$
    SELECT wanted ~ '^[A-Z]{3}/[A-Z]{3}$' AND (
        SELECT bool_and(EXISTS (SELECT FROM candleworks.currencies c WHERE c.code = s.side))
        FROM unnest(string_to_array(wanted, '/')) s(side)
    )
$$;
