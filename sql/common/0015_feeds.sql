-- What the feeds are doing: whom they stream, how far their ticks are stored. And the hours of currencies.
-- Locks: none, everything is new or a function.

-- Every symbol that a feed was asked to stream. 'refused' carries the vendor's words as the reason; 'removed' is no
-- longer asked for, and kept because the feed's earlier gaps concern it. since is when the status began.
CREATE TABLE public.feed_symbols (
    feed text NOT NULL,
    symbol text NOT NULL,
    status text NOT NULL CHECK (status IN ('asked', 'streaming', 'refused', 'removed')),
    reason text,
    since timestamptz NOT NULL,
    PRIMARY KEY (feed, symbol),
    CHECK (reason IS NULL OR status = 'refused')
);

-- How far each run of a feed is stored: written in the transaction of every batch, so that after a crash no batch of the
-- spool is stored twice.
CREATE TABLE candleworks.feed_marks (
    feed text NOT NULL,
    run uuid NOT NULL,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, run)
) WITH (fillfactor = 50);

-- The unfilled holes that touch [start, stop) and concern the symbol. A hole without a symbol concerns those of its feed;
-- all of them while it is not known which ones these are.
CREATE OR REPLACE FUNCTION candleworks.down_times(wanted text, start timestamptz, stop timestamptz)
RETURNS tstzmultirange LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce(range_agg(tstzrange(g.started_at, g.ended_at)), '{}')
    FROM public.feed_gaps g
    WHERE g.filled_at IS NULL AND g.started_at < stop AND (g.ended_at > start OR g.ended_at IS NULL)
        AND (
            g.symbol = wanted
            OR g.symbol IS NULL AND (
                EXISTS (SELECT FROM public.feed_symbols s WHERE s.feed = g.feed AND s.symbol = wanted)
                OR NOT EXISTS (SELECT FROM public.feed_symbols s WHERE s.feed = g.feed)
            )
        )
$$;

-- Whether both sides of a pair are money or precious metal, which trade from Sunday 17:00 to Friday 17:00 New York time.
CREATE FUNCTION candleworks.is_currency_pair(wanted text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT wanted ~ '^[A-Z]{3}/[A-Z]{3}$' AND string_to_array(wanted, '/') <@ ARRAY[
        'AED', 'AUD', 'BRL', 'CAD', 'CHF', 'CLP', 'CNH', 'CNY', 'COP', 'CZK', 'DKK', 'EUR', 'GBP', 'HKD', 'HUF', 'IDR',
        'ILS', 'INR', 'JPY', 'KRW', 'MXN', 'MYR', 'NOK', 'NZD', 'PEN', 'PHP', 'PLN', 'RON', 'RUB', 'SAR', 'SEK', 'SGD',
        'THB', 'TRY', 'TWD', 'USD', 'XAG', 'XAU', 'XPD', 'XPT', 'ZAR'
    ]
$$;

-- The calendar that a symbol follows: named in the configuration, else FX for currency pairs, around the clock for other
-- pairs, and that of stocks for the rest.
CREATE OR REPLACE FUNCTION candleworks.calendar_of(wanted text) RETURNS text
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    found text := coalesce(
        (SELECT r.calendar FROM candleworks.calendar_rules r WHERE r.symbol = wanted),
        CASE WHEN candleworks.is_currency_pair(wanted) THEN 'FX' WHEN strpos(wanted, '/') > 0 THEN '24/7' END,
        (SELECT r.calendar FROM candleworks.calendar_rules r WHERE r.symbol = '*')
    );
BEGIN
    IF found IS NULL OR found <> '24/7' AND NOT EXISTS (SELECT FROM candleworks.calendars c WHERE c.name = found) THEN
        RAISE EXCEPTION 'No sessions are stored for the calendar of %: run candleworks migrate.', wanted
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN found;
END $$;
