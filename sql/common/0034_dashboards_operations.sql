-- What the dashboards of operation show besides ticks: the state of feeds and symbols, uptime, runs of flows, the database,
-- the machine, and sizes over time.
-- Locks: none, everything is new.

-- What the process of a feed uses, and what is left on its machine: a row per feed and half minute, for 30 days.
CREATE TABLE candleworks.process_samples (
    feed text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    host text NOT NULL,
    cpu_percent double precision NOT NULL,
    memory_bytes bigint NOT NULL,
    machine_cpu_percent double precision NOT NULL,
    machine_memory_free_bytes bigint NOT NULL,
    disk_free_bytes bigint NOT NULL,
    disk_bytes bigint NOT NULL,
    PRIMARY KEY (feed, at)
);
CREATE VIEW dashboards.process_samples AS SELECT * FROM candleworks.process_samples;

-- The last runs of each deployment and its next one, copied from Prefect by its workers: Prefect's database is not ours to
-- read. Runs are kept for 30 days.
CREATE TABLE candleworks.flow_runs (
    id uuid PRIMARY KEY,
    deployment text NOT NULL,
    status text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    message text
);
CREATE INDEX flow_runs_deployment ON candleworks.flow_runs (deployment, started_at);
CREATE TABLE candleworks.flow_schedules (
    deployment text PRIMARY KEY,
    pool text NOT NULL,
    paused boolean NOT NULL,
    next_run_at timestamptz,
    reported_at timestamptz NOT NULL DEFAULT now()
);

-- Each deployment: its last run, how many of the last 24 hours failed, and when the next one is due. A run that Prefect has
-- not started a minute after it was due is late.
CREATE VIEW dashboards.flows AS
SELECT
    s.deployment, last.status, last.started_at,
    extract(epoch FROM coalesce(last.ended_at, now()) - last.started_at)::double precision AS seconds, last.message,
    day.failed, day.runs,
    CASE WHEN NOT s.paused THEN s.next_run_at END AS next_run_at,
    CASE
        WHEN s.paused THEN 'paused'
        WHEN s.next_run_at < now() - interval '1 minute' THEN 'late'
        WHEN s.next_run_at IS NOT NULL THEN 'scheduled'
    END AS schedule
FROM candleworks.flow_schedules s
LEFT JOIN LATERAL (
    SELECT * FROM candleworks.flow_runs r WHERE r.deployment = s.deployment ORDER BY r.started_at DESC LIMIT 1
) last ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS runs, count(*) FILTER (WHERE r.status IN ('failed', 'crashed')) AS failed
    FROM candleworks.flow_runs r WHERE r.deployment = s.deployment AND r.started_at > now() - interval '24 hours'
) day;

-- How much room ticks, candles and the rest take, measured once in each hour and kept for two years.
CREATE TABLE candleworks.size_history (
    hour timestamptz NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (hour, kind)
);
CREATE VIEW dashboards.size_history AS SELECT * FROM candleworks.size_history;
CREATE FUNCTION dashboards.sizes() RETURNS TABLE (kind text, bytes bigint)
LANGUAGE sql STABLE AS $$
    WITH kinds AS (
        SELECT k.kind, coalesce(sum(p.bytes), 0)::bigint AS bytes
        FROM unnest(ARRAY['trades', 'quotes', 'candles']) k(kind)
        LEFT JOIN dashboards.parts() p ON k.kind = CASE
            WHEN p.relation = 'stocks_real_time' THEN 'trades'
            WHEN p.relation = 'quotes' THEN 'quotes'
            WHEN EXISTS (SELECT FROM candleworks.candle_relations r WHERE r.relation = p.relation) THEN 'candles'
        END
        GROUP BY k.kind
    )
    SELECT k.kind, k.bytes FROM kinds k
    UNION ALL
    SELECT 'other', pg_database_size(current_database()) - sum(k.bytes)::bigint FROM kinds k
$$;

-- Measures, unless that was done in this hour.
CREATE FUNCTION candleworks.record_sizes() RETURNS void
LANGUAGE sql AS $$
    DELETE FROM candleworks.size_history h WHERE h.hour < now() - interval '730 days';
    INSERT INTO candleworks.size_history (hour, kind, at, bytes)
    SELECT date_trunc('hour', now(), 'UTC'), s.kind, now(), s.bytes FROM dashboards.sizes() s
    WHERE NOT EXISTS (SELECT FROM candleworks.size_history h WHERE h.hour = date_trunc('hour', now(), 'UTC'))
    ON CONFLICT DO NOTHING
$$;

-- The last measurement of each step, and one of this moment.
CREATE FUNCTION dashboards.sizes_over_time(start timestamptz, stop timestamptz, step interval) RETURNS TABLE (
    "time" timestamptz, kind text, bytes bigint
)
LANGUAGE sql STABLE AS $$
    (
        SELECT DISTINCT ON (public.time_bucket(step, h.hour), h.kind) h.at, h.kind, h.bytes
        FROM dashboards.size_history h
        WHERE h.hour >= start - interval '1 hour' AND h.at <= stop
        ORDER BY public.time_bucket(step, h.hour), h.kind, h.hour DESC
    )
    UNION ALL
    SELECT now(), s.kind, s.bytes FROM dashboards.sizes() s WHERE stop > now() - interval '1 minute'
    ORDER BY 1, 2
$$;

-- What a day has added to the database, over the measurements of the last seven days; null while they span less than one.
CREATE FUNCTION dashboards.bytes_per_day() RETURNS double precision
LANGUAGE sql STABLE AS $$
    SELECT (pg_database_size(current_database()) - first.bytes) * 86400 / extract(epoch FROM now() - first.at)::double precision
    FROM (
        SELECT min(h.at) AS at, sum(h.bytes) AS bytes FROM dashboards.size_history h
        WHERE h.hour = (SELECT min(o.hour) FROM dashboards.size_history o WHERE o.hour > now() - interval '7 days')
    ) first
    WHERE first.at <= now() - interval '1 day'
$$;

-- The rows of relations, and where ticks and candles begin. Ticks are counted by their daily candles, which have a row per
-- symbol and day, and the first of all is that of a symbol of the first day: nothing scans ticks. Other tables are counted
-- while they are small. Null where counting would take too long: the planner's statistics know only tables that were
-- analysed, and are out of date.
CREATE FUNCTION dashboards.contents() RETURNS TABLE (relation text, rows bigint, oldest timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    family candleworks.candle_families;
    days record;
    minute timestamptz;
    first_of text := $sql$
        SELECT min(f.at) FROM unnest($2) s(symbol)
        CROSS JOIN LATERAL (
            SELECT t.%2$I AS at FROM public.%1$I t
            WHERE t.symbol = s.symbol AND t.%2$I >= $1 AND t.%2$I < $1 + interval '24 hours' ORDER BY t.%2$I LIMIT 1
        ) f
    $sql$;
BEGIN
    FOR family IN SELECT * FROM candleworks.candle_families LOOP
        -- In one statement: planning the view of plain PostgreSQL takes longer than reading it.
        EXECUTE format($sql$
            WITH days AS MATERIALIZED (
                SELECT d.symbol, d.bucket, d.ticks, d.bucket >= coalesce((
                    SELECT h.dropped_before FROM dashboards.retention h WHERE h.relation = $1
                ), '-infinity') AS has_ticks
                FROM public.%I d WHERE d.ticks > 0
            ), firsts AS (
                SELECT min(bucket) AS candles, min(bucket) FILTER (WHERE has_ticks) AS ticks FROM days
            )
            SELECT coalesce(sum(d.ticks) FILTER (WHERE d.has_ticks), 0)::bigint AS ticks,
                min(f.candles) AS candle_day, array_agg(d.symbol) FILTER (WHERE d.bucket = f.candles) AS candle_symbols,
                min(f.ticks) AS tick_day, array_agg(d.symbol) FILTER (WHERE d.bucket = f.ticks) AS tick_symbols
            FROM days d CROSS JOIN firsts f
        $sql$, (SELECT r.relation FROM candleworks.candle_relations r WHERE r.family = family.name ORDER BY r.width DESC LIMIT 1))
        INTO days USING family.ticks;
        relation := family.ticks;
        rows := days.ticks;
        EXECUTE format(first_of, family.ticks, 'time') INTO oldest USING days.tick_day, days.tick_symbols;
        RETURN NEXT;
        EXECUTE format(first_of, family.prefix || 'candles_1m', 'bucket') INTO minute
        USING days.candle_day, days.candle_symbols;
        RETURN QUERY SELECT r.relation, NULL::bigint, public.time_bucket(r.width, minute)
        FROM candleworks.candle_relations r WHERE r.family = family.name;
    END LOOP;
    oldest := NULL;
    FOR relation IN
        SELECT r.relation FROM dashboards.readable r
        JOIN pg_class c ON c.oid = to_regclass('public.' || quote_ident(r.relation)) AND c.relkind = 'r'
        WHERE r.relation NOT IN (SELECT f.ticks FROM candleworks.candle_families f) AND pg_relation_size(c.oid) <= 2 * 1024 * 1024
    LOOP
        EXECUTE format('SELECT count(*) FROM public.%I', relation) INTO rows;
        RETURN NEXT;
    END LOOP;
END $$;

-- Everything that is stored: its size with indexes, its rows and where it begins, in how many parts.
DROP FUNCTION dashboards.storage();
CREATE FUNCTION dashboards.storage() RETURNS TABLE (
    relation text, bytes bigint, rows bigint, oldest timestamptz, parts bigint
)
LANGUAGE sql STABLE AS $$
    SELECT p.relation, p.bytes, c.rows, c.oldest, p.parts
    FROM (
        SELECT q.relation, sum(q.bytes)::bigint AS bytes, count(*) AS parts FROM dashboards.parts() q GROUP BY q.relation
    ) p
    LEFT JOIN dashboards.contents() c ON c.relation = p.relation
$$;

-- What compression made of the parts that are compressed.
CREATE FUNCTION dashboards.compression() RETURNS TABLE (
    relation text, parts bigint, compressed_parts bigint, compressed_from bigint, compressed_to bigint
)
LANGUAGE sql STABLE AS $$
    SELECT p.relation, count(*), count(p.bytes_before), sum(p.bytes_before)::bigint,
        sum(p.bytes) FILTER (WHERE p.bytes_before IS NOT NULL)::bigint
    FROM dashboards.parts() p
    GROUP BY p.relation
    HAVING count(p.bytes_before) > 0
    ORDER BY sum(p.bytes_before) DESC
$$;

-- For how many seconds the times of a set last together.
CREATE FUNCTION dashboards.seconds(times tstzmultirange) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(sum(extract(epoch FROM upper(r) - lower(r))), 0)::double precision FROM unnest(times) r
$$;

CREATE FUNCTION dashboards.percent_encoded(value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(encode(convert_to(value, 'UTF8'), 'hex'), '(..)', '%\1', 'g')
$$;

-- Why a feed misses ticks, in words that follow "down".
CREATE FUNCTION dashboards.gap_reason(reason text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE reason
        WHEN 'stopped' THEN 'stopped in order'
        WHEN 'crashed' THEN 'its process crashed'
        WHEN 'closed' THEN 'the vendor closed the connection'
        WHEN 'dropped' THEN 'the connection was lost'
        WHEN 'silent' THEN 'no tick in market hours'
        WHEN 'overflow' THEN 'memory and disk were full'
        WHEN 'damaged' THEN 'the spool could not be read'
        ELSE reason
    END
$$;

-- The gaps of feeds in a range, newest first, with what became of them, and what a chart shows of them: a symbol, and the time
-- with ten minutes around it, in milliseconds.
CREATE FUNCTION dashboards.gap_list(feeds text[], start timestamptz, stop timestamptz) RETURNS TABLE (
    began timestamptz, seconds double precision, feed text, symbols text, state text, reason text, shown text,
    shown_from text, shown_to text
)
LANGUAGE sql STABLE AS $$
    SELECT g.started_at, extract(epoch FROM e.ended_at - g.started_at)::double precision, g.feed, coalesce(g.symbol, 'all'), CASE
            WHEN g.ended_at IS NULL THEN 'open'
            WHEN g.filled_at IS NULL THEN 'unfilled'
            ELSE coalesce((
                SELECT CASE WHEN bool_or(f.outcome = 'filled') THEN 'filled'
                    WHEN bool_and(f.outcome = 'market_closed') THEN 'market closed' ELSE 'no bars' END
                FROM public.gap_fills f WHERE f.gap_id = g.id
            ), 'filled')
        END, dashboards.gap_reason(g.reason), coalesce(g.symbol, (
            SELECT min(s.symbol) FROM public.feed_symbols s WHERE s.feed = g.feed AND s.status IN ('asked', 'streaming')
        )),
        (1000 * extract(epoch FROM g.started_at - interval '10 minutes'))::bigint::text,
        (1000 * extract(epoch FROM e.ended_at + interval '10 minutes'))::bigint::text
    FROM public.feed_gaps g
    CROSS JOIN LATERAL (SELECT coalesce(g.ended_at, now()) AS ended_at) e
    WHERE g.feed = ANY(feeds) AND g.started_at <= stop AND e.ended_at >= start
    ORDER BY g.started_at DESC LIMIT 200
$$;

-- Since when each feed has been known.
CREATE VIEW dashboards.feed_beginnings AS SELECT t.feed, t.since FROM candleworks.ingest_totals t;

-- What the newest tick says of the state of a symbol or feed that receives: streaming, also outside of market hours; closed;
-- quiet, without a tick for a minute of them; or asked, before its first tick.
CREATE FUNCTION dashboards.tick_state(
    last_tick timestamptz, in_session boolean, silent_seconds double precision, moment timestamptz
) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN moment - last_tick <= interval '1 minute' THEN 'streaming'
    WHEN NOT in_session THEN 'closed'
    WHEN last_tick IS NULL THEN 'asked'
    WHEN silent_seconds > 60 THEN 'quiet'
    ELSE 'streaming'
END;

-- Each symbol that a feed is asked for, with its state: stopped (by an operator), down (the feed receives nothing), silent
-- (no tick for longer than allowed while its market is open), closed (its market), quiet (no tick for a minute),
-- streaming, or asked, before its first tick. A running feed writes its statistics every second: without any for half a
-- minute its process has ended.
CREATE FUNCTION dashboards.symbol_states(moment timestamptz) RETURNS TABLE (
    feed text, symbol text, state text, last_tick timestamptz, age_seconds double precision, silent_seconds double precision,
    in_session boolean
)
LANGUAGE sql STABLE AS $$
    SELECT s.feed, s.symbol, CASE
            WHEN s.status = 'stopped by an operator' THEN 'stopped'
            WHEN n.at IS NULL OR n.at < moment - interval '30 seconds' OR g.down THEN 'down'
            WHEN g.silent THEN 'silent'
            ELSE dashboards.tick_state(s.last_tick, s.in_session, s.silent_seconds, moment)
        END, s.last_tick, s.age_seconds, s.silent_seconds, s.in_session
    FROM dashboards.silence(moment) s
    LEFT JOIN LATERAL (
        SELECT i.at FROM public.ingest_stats i WHERE i.feed = s.feed AND i.at <= moment ORDER BY i.at DESC LIMIT 1
    ) n ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(g.reason <> 'silent'), false) AS down, coalesce(bool_or(g.reason = 'silent'), false) AS silent
        FROM public.feed_gaps g
        WHERE g.feed = s.feed AND (g.symbol IS NULL OR g.symbol = s.symbol) AND g.ended_at IS NULL AND g.started_at <= moment
    ) g
$$;

-- Each feed with its state, since when and why it is down, silent or stopped, its newest tick, for how long it has had none
-- in market hours (null while they are closed), and what it did in the last ten seconds that are complete.
CREATE FUNCTION dashboards.feed_states(moment timestamptz) RETURNS TABLE (
    feed text, state text, since timestamptz, reason text, last_tick timestamptz, silent_seconds double precision,
    ticks_per_second double precision, lag_ms_p50 double precision, lag_ms_p99 double precision, spool_depth bigint
)
LANGUAGE sql STABLE AS $$
    SELECT f.feed, CASE
            WHEN stop.stopped_at IS NOT NULL THEN 'stopped'
            WHEN gap.reason = 'silent' AND running THEN 'silent'
            WHEN gap.reason IS NOT NULL OR NOT running THEN 'down'
            ELSE dashboards.tick_state(s.last_tick, s.in_session, s.silent_seconds, moment)
        END,
        CASE WHEN stop.stopped_at IS NOT NULL THEN stop.stopped_at WHEN running THEN gap.started_at
            ELSE least(gap.started_at, newest.at) END,
        CASE WHEN stop.stopped_at IS NOT NULL THEN stop.reason WHEN gap.reason IS NOT NULL THEN dashboards.gap_reason(gap.reason)
            WHEN NOT running THEN 'its process does not report' END,
        s.last_tick, s.silent_seconds, CASE WHEN running THEN coalesce(done.ticks, 0) / 10.0 END::double precision,
        done.lag_ms_p50, done.lag_ms_p99, newest.spool_depth
    FROM dashboards.feeds f
    LEFT JOIN LATERAL (
        SELECT i.at, i.spool_depth FROM public.ingest_stats i
        WHERE i.feed = f.feed AND i.at <= moment ORDER BY i.at DESC LIMIT 1
    ) newest ON true
    CROSS JOIN LATERAL (SELECT coalesce(newest.at >= moment - interval '30 seconds', false) AS running) r
    LEFT JOIN LATERAL (
        SELECT i.* FROM public.ingest_stats i
        WHERE i.feed = f.feed AND i.at > moment - interval '30 seconds' AND i.at <= moment - interval '10 seconds'
        ORDER BY i.at DESC LIMIT 1
    ) done ON true
    LEFT JOIN LATERAL (
        SELECT g.started_at, g.reason FROM public.feed_gaps g
        WHERE g.feed = f.feed AND g.symbol IS NULL AND g.ended_at IS NULL AND g.started_at <= moment
    ) gap ON true
    LEFT JOIN public.feed_stops stop ON stop.feed = f.feed AND stop.deliberate
    LEFT JOIN (
        SELECT y.feed, max(y.last_tick) AS last_tick, min(y.silent_seconds) AS silent_seconds, bool_or(y.in_session) AS in_session
        FROM dashboards.silence(moment) y GROUP BY y.feed
    ) s ON s.feed = f.feed
$$;

-- Percent of the market hours of the last days that each feed was up, without a gap of the whole feed, and fresh, without a
-- gap of any of its symbols either; over the time since the feed is known where that is shorter. A gap that was filled
-- afterwards counts, and so does a stop on purpose. Null where its markets were closed throughout.
CREATE FUNCTION dashboards.uptime(moment timestamptz) RETURNS TABLE (
    feed text, days integer, up_percent double precision, fresh_percent double precision, down_seconds double precision
)
LANGUAGE sql STABLE AS $$
    SELECT b.feed, d.days,
        100 * (1 - dashboards.seconds(o.times * missed.by_feed) / nullif(dashboards.seconds(o.times), 0)),
        100 * (1 - dashboards.seconds(o.times * (missed.by_feed + missed.by_symbol)) / nullif(dashboards.seconds(o.times), 0)),
        dashboards.seconds(o.times * missed.by_feed)
    FROM dashboards.feed_beginnings b
    CROSS JOIN unnest(ARRAY[1, 7, 30]) d(days)
    CROSS JOIN LATERAL (SELECT greatest(b.since, moment - d.days * interval '24 hours') AS start) w
    CROSS JOIN LATERAL (
        SELECT coalesce(range_agg(t.open), '{}') * tstzmultirange(tstzrange(w.start, moment)) AS times
        FROM (
            SELECT DISTINCT candleworks.calendar_of(s.symbol) AS name FROM public.feed_symbols s
            WHERE s.feed = b.feed AND s.status IN ('asked', 'streaming')
        ) c
        CROSS JOIN LATERAL unnest(candleworks.open_times(c.name, w.start, moment)) t(open)
    ) o
    CROSS JOIN LATERAL (
        SELECT tstzmultirange(tstzrange(max(i.at) + interval '10 seconds', moment)) AS times FROM public.ingest_stats i
        WHERE i.feed = b.feed AND i.at <= moment HAVING max(i.at) < moment - interval '30 seconds'
        UNION ALL SELECT '{}' LIMIT 1
    ) ended
    CROSS JOIN LATERAL (
        SELECT coalesce(range_agg(tstzrange(g.started_at, least(g.ended_at, moment))) FILTER (WHERE g.symbol IS NULL), '{}')
                + ended.times AS by_feed,
            coalesce(range_agg(tstzrange(g.started_at, least(g.ended_at, moment))) FILTER (WHERE g.symbol IS NOT NULL), '{}')
                AS by_symbol
        FROM public.feed_gaps g
        WHERE g.feed = b.feed AND g.started_at <= moment AND (g.ended_at IS NULL OR g.ended_at > w.start)
    ) missed
    WHERE b.since < moment
$$;

-- What the server says of itself to any role: connections, locks that are waited for, and where pages came from since its
-- statistics were reset.
CREATE FUNCTION dashboards.database_state() RETURNS TABLE (
    connections bigint, connections_percent double precision, waiting bigint, longest_wait_seconds double precision,
    cache_hit_percent double precision, deadlocks bigint
)
LANGUAGE sql STABLE AS $$
    SELECT a.ours, 100.0 * a.all / current_setting('max_connections')::integer, l.waiting,
        coalesce(l.longest, 0), 100.0 * d.blks_hit / nullif(d.blks_hit + d.blks_read, 0), d.deadlocks
    FROM pg_stat_database d
    CROSS JOIN (
        SELECT count(*) FILTER (WHERE datname = current_database()) AS ours, count(datid) AS all FROM pg_stat_activity
    ) a
    CROSS JOIN (
        SELECT count(*) AS waiting, extract(epoch FROM max(clock_timestamp() - waitstart))::double precision AS longest
        FROM pg_locks WHERE NOT granted
    ) l
    WHERE d.datname = current_database()
$$;

-- The dashboard that shows the subject of a check, for an address: a symbol's chart, its feed, or what is stored.
CREATE FUNCTION dashboards.subject_link(subject text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN subject LIKE 'feed/%' THEN 'candleworks-health?var-feed=' || dashboards.percent_encoded(substr(subject, 6))
        WHEN subject ~ '^[a-z_]' THEN 'candleworks-storage?'
        ELSE 'candleworks-market?var-symbol=' || dashboards.percent_encoded(subject)
    END
$$;

-- A row of a sample as words: symbol: AAPL, price: 0.
CREATE FUNCTION dashboards.as_text(sample jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(sample)
        WHEN 'object' THEN (SELECT string_agg(concat(e.key, ': ', coalesce(e.value, 'null')), ', ' ORDER BY e.ordinality)
            FROM jsonb_each_text(sample) WITH ORDINALITY e)
        ELSE sample #>> '{}'
    END
$$;

SELECT candleworks.set_up_reader();
