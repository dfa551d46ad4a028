-- The vendor's API credits, counted by all processes together.
-- Locks: none, everything is new.

-- Credits by the second in which they were spent. account is a digest of the address and the key.
CREATE TABLE candleworks.rest_credits (
    account text NOT NULL,
    at timestamptz NOT NULL,
    used integer NOT NULL,
    PRIMARY KEY (account, at)
);

-- The vendor said that there are none until then: for the minute, or for the whole day; what it said, and when.
CREATE TABLE candleworks.rest_pauses (
    account text PRIMARY KEY,
    until timestamptz NOT NULL,
    whole_day boolean NOT NULL,
    words text,
    said_at timestamptz NOT NULL DEFAULT now()
);

-- Takes credits and returns 0, or takes none and returns how many seconds to wait before asking again, null when there are
-- none for the rest of the UTC day. per_day is null where the day is not limited. The vendor's minute begins we do not know
-- when, so no 60 seconds ever have more than one minute's credits (61, because they are counted by the second).
CREATE FUNCTION candleworks.take_credits(payer text, wanted integer, per_minute integer, per_day integer)
RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz;
    today timestamptz;
    pause candleworks.rest_pauses;
    spent bigint;
    oldest timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(candleworks.lock_class('rest_credits'), hashtext(payer));
    moment := clock_timestamp();
    today := date_trunc('day', moment, 'UTC');
    SELECT * INTO pause FROM candleworks.rest_pauses p WHERE p.account = payer AND p.until > moment;
    IF FOUND THEN
        RETURN CASE WHEN NOT pause.whole_day THEN extract(epoch FROM pause.until - moment) END;
    END IF;
    SELECT coalesce(sum(c.used), 0) INTO spent FROM candleworks.rest_credits c WHERE c.account = payer AND c.at >= today;
    IF spent + wanted > per_day THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(c.used), 0), min(c.at) INTO spent, oldest
    FROM candleworks.rest_credits c WHERE c.account = payer AND c.at > moment - interval '61 seconds';
    IF spent + wanted > per_minute THEN
        RETURN least(61, extract(epoch FROM oldest + interval '61 seconds' - moment));
    END IF;
    DELETE FROM candleworks.rest_credits c WHERE c.account = payer AND c.at < today - interval '48 hours';
    INSERT INTO candleworks.rest_credits AS c (account, at, used)
    VALUES (payer, date_trunc('second', moment), wanted)
    ON CONFLICT (account, at) DO UPDATE SET used = c.used + excluded.used;
    RETURN 0;
END $$;

-- Keeps everybody from asking for so many seconds, or when they are null until the vendor's next minute, or for the rest of
-- the UTC day. A pause that ends later than the new one stays.
CREATE FUNCTION candleworks.pause_credits(
    payer text, seconds double precision, whole_day boolean, words text
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO candleworks.rest_pauses AS p (account, until, whole_day, words, said_at) VALUES (
        payer,
        CASE
            WHEN whole_day THEN date_trunc('day', clock_timestamp(), 'UTC') + interval '24 hours'
            WHEN seconds IS NOT NULL THEN clock_timestamp() + seconds * interval '1 second'
            ELSE date_trunc('minute', clock_timestamp(), 'UTC') + interval '61 seconds'
        END,
        whole_day,
        words,
        clock_timestamp()
    )
    ON CONFLICT (account) DO UPDATE SET
        until = excluded.until, whole_day = excluded.whole_day, words = excluded.words, said_at = excluded.said_at
    WHERE excluded.until > p.until
$$;
