-- What checks found, and what the checks of sql/checks/ share. docs/explanation/checks.md says how they run; docs/checks/ has a page
-- for each.
-- Locks: none, everything is new.

CREATE TABLE public.quality_results (
    "check" text NOT NULL,
    subject text NOT NULL,
    suite text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    status text NOT NULL CHECK (status IN ('passed', 'failed', 'error')),
    observed text,
    expected text,
    "window" tstzrange,
    sample jsonb,
    seconds double precision,
    at timestamptz NOT NULL DEFAULT now(),
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    failing tstzmultirange
);
-- The history of one subject; its newest row, and since when it is what it is; what goes by retention.
CREATE INDEX quality_results_subject ON public.quality_results ("check", subject, at);
CREATE INDEX quality_results_status ON public.quality_results ("check", subject, status, at);
CREATE INDEX quality_results_at ON public.quality_results (at);
COMMENT ON TABLE public.quality_results IS
    'One row per run of every check, and one for each subject that fails, has an error, or did so lately.';
COMMENT ON COLUMN public.quality_results.subject IS
    'What the row is about: a symbol, feed/NAME, or for the check as a whole the relation it looks at, or system.';
COMMENT ON COLUMN public.quality_results.observed IS 'Null: the check does not say.';
COMMENT ON COLUMN public.quality_results.expected IS 'Null: the check does not say.';
COMMENT ON COLUMN public.quality_results."window" IS
    'Times that were looked at. Null: the check looks at the present state.';
COMMENT ON COLUMN public.quality_results.sample IS 'Some of the rows that failed. Null: none.';
COMMENT ON COLUMN public.quality_results.seconds IS 'How long the check ran. Null: rows about a single subject.';
COMMENT ON COLUMN public.quality_results.failing IS
    'Times of the rows that failed, of ticks or of buckets. Null: the check does not judge stored rows.';

-- Up to where each check has read ticks, by received_at: the next run begins there. Written together with the results.
CREATE TABLE candleworks.checked_until (
    "check" text PRIMARY KEY,
    moment timestamptz NOT NULL
);
GRANT SELECT ON candleworks.checked_until TO PUBLIC;

-- The newest result of every check and subject, and since when its status has been the same. Costs a few index probes per
-- subject, however long the history is.
CREATE FUNCTION candleworks.quality_now() RETURNS TABLE (
    "check" text, subject text, suite text, severity text, status text, observed text, expected text, "window" tstzrange,
    sample jsonb, seconds double precision, at timestamptz, since timestamptz
)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE subjects AS (
        (SELECT r."check", r.subject FROM public.quality_results r ORDER BY r."check", r.subject LIMIT 1)
        UNION ALL
        SELECT following.* FROM subjects s CROSS JOIN LATERAL (
            SELECT r."check", r.subject FROM public.quality_results r
            WHERE (r."check", r.subject) > (s."check", s.subject) ORDER BY r."check", r.subject LIMIT 1
        ) following
    )
    SELECT newest."check", newest.subject, newest.suite, newest.severity, newest.status, newest.observed, newest.expected,
        newest."window", newest.sample, newest.seconds, newest.at, (
            SELECT min(r.at) FROM public.quality_results r
            WHERE r."check" = s."check" AND r.subject = s.subject AND r.status = newest.status AND r.at > coalesce((
                SELECT max(last.at) FROM unnest(ARRAY['passed', 'failed', 'error']) other(status)
                CROSS JOIN LATERAL (
                    SELECT max(o.at) AS at FROM public.quality_results o
                    WHERE o."check" = s."check" AND o.subject = s.subject AND o.status = other.status
                ) last
                WHERE other.status <> newest.status
            ), '-infinity')
        )
    FROM subjects s CROSS JOIN LATERAL (
        SELECT * FROM public.quality_results r
        WHERE r."check" = s."check" AND r.subject = s.subject ORDER BY r.at DESC, r.id DESC LIMIT 1
    ) newest
$$;

-- The ticks of a check's window: by arrival, found by the block-range index, and by time, which leaves out partitions.
-- Plain SQL, so that the planner puts it in place of its call and sees the bounds.
CREATE FUNCTION candleworks.new_ticks(
    received_from timestamptz, received_until timestamptz, time_from timestamptz
) RETURNS SETOF public.stocks_real_time
LANGUAGE sql STABLE AS $$
    SELECT * FROM public.stocks_real_time t
    WHERE t.received_at >= received_from AND t.received_at < received_until AND t.time >= time_from
$$;

CREATE FUNCTION candleworks.new_quotes(
    received_from timestamptz, received_until timestamptz, time_from timestamptz
) RETURNS SETOF public.quotes
LANGUAGE sql STABLE AS $$
    SELECT * FROM public.quotes q
    WHERE q.received_at >= received_from AND q.received_at < received_until AND q.time >= time_from
$$;

-- The ticks of a check's window, as new_ticks() returns them, and those of the given times of symbols, an array of
-- {symbol, start, stop}. OFFSET keeps these one look into the index each: a join was planned to read the history.
CREATE FUNCTION candleworks.checked_ticks(
    received_from timestamptz, received_until timestamptz, time_from timestamptz, again jsonb
) RETURNS SETOF public.stocks_real_time
LANGUAGE sql STABLE AS $$
    SELECT * FROM public.stocks_real_time t
    WHERE t.received_at >= received_from AND t.received_at < received_until AND t.time >= time_from
    UNION ALL
    SELECT t.*
    FROM jsonb_to_recordset(again) a(symbol text, start timestamptz, stop timestamptz)
    CROSS JOIN LATERAL (
        SELECT * FROM public.stocks_real_time t
        WHERE t.symbol = a.symbol AND t.time >= a.start AND t.time < a.stop OFFSET 0
    ) t
    WHERE (t.received_at >= received_from AND t.received_at < received_until AND t.time >= time_from) IS NOT TRUE
$$;

-- The same times, or the whole UTC days around them where they are in more than 200 pieces.
CREATE FUNCTION candleworks.failing_times(times tstzmultirange) RETURNS tstzmultirange
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN count(*) <= 200 THEN times ELSE range_agg(tstzrange(
        date_trunc('day', lower(r), 'UTC'), date_trunc('day', upper(r) - interval '1 microsecond', 'UTC') + interval '24 hours'
    )) END
    FROM unnest(times) r
$$;

-- The newest tick or quote of a symbol up to a moment; null where there is none.
CREATE FUNCTION candleworks.last_seen(wanted text, until timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        (SELECT t.time FROM public.stocks_real_time t WHERE t.symbol = wanted AND t.time <= until ORDER BY t.time DESC LIMIT 1),
        (SELECT q.time FROM public.quotes q WHERE q.symbol = wanted AND q.time <= until ORDER BY q.time DESC LIMIT 1)
    )
$$;

-- How checks say numbers of things: 1 tick, 2 ticks; noun is the singular.
-- Locks: none, everything is new.
CREATE FUNCTION candleworks.counted(count numeric, noun text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(count, 'FM999,999,999,990') || ' ' || noun || CASE WHEN count = 1 THEN '' ELSE 's' END
$$;
