-- The stream log: what each transaction changed of ticks, gaps and daily bars, in the order of the commits. Servers follow it
-- to push candles to pages and programs: docs/decisions/0059-stream.md.
-- Locks: SHARE ROW EXCLUSIVE on the tables of ticks, gaps and daily bars for a moment.

-- As before, and with the lock of the stream.
CREATE OR REPLACE FUNCTION candleworks.lock_class(name text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    CASE name
        WHEN 'refresh_candles' THEN RETURN 716480005;
        WHEN 'insert_ticks' THEN RETURN 716480006;
        WHEN 'prepare_partitions' THEN RETURN 716480007;
        WHEN 'rest_credits' THEN RETURN 716480009;
        WHEN 'stream' THEN RETURN 716480013;
    END CASE;
END $$;

-- Where to look, not what is there: the ticks are read from their own table by those who want them. One row per statement;
-- `position` is null until its transaction commits. `changed` is trade, quote or gap. `counts` are the inserted ticks of each
-- symbol, which arrived between the two times; null for other changes. `removed`: ticks may be gone. The symbol '' is all.
-- Unlogged: a crash of the server empties it, and clients get a new snapshot.
CREATE UNLOGGED TABLE candleworks.stream_log (
    position bigint,
    committed_at timestamptz,
    leads boolean NOT NULL,
    changed text NOT NULL,
    removed boolean NOT NULL,
    symbols text[] NOT NULL,
    firsts timestamptz[] NOT NULL,
    lasts timestamptz[] NOT NULL,
    counts bigint[],
    received_first timestamptz,
    received_last timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE UNIQUE INDEX stream_log_position ON candleworks.stream_log (position) WHERE position IS NOT NULL;
CREATE INDEX stream_log_pending ON candleworks.stream_log ((true)) WHERE position IS NULL;

-- Not of the table: the sequence of an unlogged table starts again after a crash.
CREATE SEQUENCE candleworks.stream_position;

-- Whether a change is the first one of its transaction, which then publishes all of them when it commits. The setting ends
-- with the transaction, and is undone together with the change when a savepoint is rolled back.
CREATE FUNCTION candleworks.leads_transaction() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('candleworks.unpublished', true) = 'on' THEN
        RETURN false;
    END IF;
    PERFORM set_config('candleworks.unpublished', 'on', true);
    RETURN true;
END $$;

-- Appends a row: places as (symbol, first, last), without counts where they are ranges. Nothing where the symbols are null.
CREATE FUNCTION candleworks.log_ranges(
    kind text, removed boolean, symbols text[], firsts timestamptz[], lasts timestamptz[], counts bigint[] DEFAULT NULL,
    received_first timestamptz DEFAULT NULL, received_last timestamptz DEFAULT NULL
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO candleworks.stream_log (leads, changed, removed, symbols, firsts, lasts, counts, received_first, received_last)
    SELECT candleworks.leads_transaction(), kind, removed, symbols, firsts, lasts, counts, received_first, received_last
    WHERE symbols IS NOT NULL
$$;

-- Who may write ticks needs no right to the log: the triggers act for the owner.
CREATE FUNCTION candleworks.log_inserted_ticks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM candleworks.log_ranges(
        TG_ARGV[0], false, array_agg(s.symbol), array_agg(s.first), array_agg(s.last), array_agg(s.count),
        min(s.received_first), max(s.received_last)
    )
    FROM (
        SELECT c.symbol, min(c.time) AS first, max(c.time) AS last, count(*) AS count,
            min(c.received_at) AS received_first, max(c.received_at) AS received_last
        FROM changed c GROUP BY c.symbol
    ) s;
    RETURN NULL;
END $$;

-- Candles of ranges that were computed anew after their ticks had changed, as TimescaleDB does late: until then, who read them
-- got the old ones. Logged for the symbols whose ticks were committed later than feeds commit them; where the log no longer
-- knows, for all.
CREATE FUNCTION candleworks.log_refreshed(relation text, starts timestamptz[], stops timestamptz[]) RETURNS void
LANGUAGE sql AS $$
    WITH late AS (
        SELECT p.symbol, p.first, p.last
        FROM candleworks.stream_log l
        JOIN candleworks.candle_families f ON f.name = l.changed AND f.ticks = relation
        CROSS JOIN LATERAL unnest(l.symbols, l.firsts, l.lasts) p(symbol, first, last)
        WHERE l.position IS NOT NULL AND l.committed_at > p.first + interval '10 seconds'
    ), place AS (
        SELECT coalesce(l.symbol, '') AS symbol, coalesce(min(greatest(l.first, r.start)), r.start) AS first,
            coalesce(max(least(l.last, r.stop - interval '1 microsecond')), r.stop - interval '1 microsecond') AS last
        FROM unnest(starts, stops) r(start, stop)
        LEFT JOIN late l ON l.first < r.stop AND l.last >= r.start
        GROUP BY r.start, r.stop, l.symbol
    )
    SELECT candleworks.log_ranges(f.name, false, array_agg(p.symbol), array_agg(p.first), array_agg(p.last))
    FROM place p, candleworks.candle_families f WHERE f.ticks = relation GROUP BY f.name
$$;

CREATE FUNCTION candleworks.log_updated_ticks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM candleworks.log_ranges(TG_ARGV[0], false, array_agg(s.symbol), array_agg(s.first), array_agg(s.last))
    FROM (
        SELECT b.symbol, min(b.time) AS first, max(b.time) AS last
        FROM (SELECT symbol, time FROM replaced UNION ALL SELECT symbol, time FROM changed) b GROUP BY b.symbol
    ) s;
    RETURN NULL;
END $$;

-- The hour of a change that is seen row by row, once per transaction while the hours known to the setting fit into it.
CREATE FUNCTION candleworks.log_hour(setting text, kind text, removed boolean, symbol text, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    hour timestamptz := date_bin('1 hour', moment, timestamptz '2000-01-01 00:00+00');
    place text := concat('[', kind, ' ', hour, ' ', symbol, ']');
    known text := coalesce(current_setting(setting, true), '');
BEGIN
    IF strpos(known, place) = 0 THEN
        PERFORM set_config(setting, CASE WHEN length(known) < 8000 THEN known ELSE '' END || place, true);
        PERFORM candleworks.log_ranges(
            kind, removed, ARRAY[symbol], ARRAY[hour], ARRAY[hour + interval '1 hour' - interval '1 microsecond']
        );
    END IF;
END $$;

-- Row by row, because TimescaleDB has no transition tables of deletes.
CREATE FUNCTION candleworks.log_deleted_tick() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM candleworks.log_hour('candleworks.unpublished_deletes', TG_ARGV[0], true, OLD.symbol, OLD.time);
    RETURN NULL;
END $$;

-- On hypertables: the COPY of TimescaleDB 2.29 invalidates no continuous aggregate where a trigger has a transition table, and
-- candles would differ from their ticks. The first 50 ticks of a transaction are rows of their own, further ones are hours.
CREATE FUNCTION candleworks.log_inserted_tick() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    logged integer := coalesce(nullif(current_setting('candleworks.unpublished_ticks', true), ''), '0');
BEGIN
    IF logged = 50 THEN
        PERFORM candleworks.log_hour('candleworks.unpublished_inserts', TG_ARGV[0], false, NEW.symbol, NEW.time);
    ELSE
        PERFORM set_config('candleworks.unpublished_ticks', (logged + 1)::text, true);
        PERFORM candleworks.log_ranges(
            TG_ARGV[0], false, ARRAY[NEW.symbol], ARRAY[NEW.time], ARRAY[NEW.time], ARRAY[1::bigint], NEW.received_at,
            NEW.received_at
        );
    END IF;
    RETURN NULL;
END $$;

-- Who writes many ticks says itself where they are: the triggers of inserts rest from here on until log_inserts(), or the end of
-- the transaction.
CREATE FUNCTION candleworks.begin_inserts() RETURNS void
LANGUAGE sql AS $$ SELECT set_config('candleworks.inserts', 'logged', true) $$;

-- What was inserted since begin_inserts(): without counts, as ranges. Nothing where the triggers did not rest, because that was
-- in another transaction.
CREATE FUNCTION candleworks.log_inserts(
    kind text, symbols text[], firsts timestamptz[], lasts timestamptz[], counts bigint[] DEFAULT NULL,
    received_first timestamptz DEFAULT NULL, received_last timestamptz DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('candleworks.inserts', true) = 'logged' THEN
        PERFORM set_config('candleworks.inserts', '', true);
        PERFORM candleworks.log_ranges(
            kind, false, nullif(symbols, '{}'), firsts, lasts, counts, received_first, received_last
        );
    END IF;
END $$;

DO $create$
DECLARE
    family candleworks.candle_families;
    how text;
BEGIN
    FOR family IN SELECT * FROM candleworks.candle_families LOOP
        how := CASE WHEN (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = format('public.%I', family.ticks)::regclass)
            THEN 'REFERENCING NEW TABLE AS changed FOR EACH STATEMENT %s EXECUTE FUNCTION candleworks.log_inserted_ticks(%L)'
            ELSE 'FOR EACH ROW %s EXECUTE FUNCTION candleworks.log_inserted_tick(%L)' END;
        EXECUTE format('CREATE TRIGGER log_inserts AFTER INSERT ON public.%I ', family.ticks)
            || format(how, $$WHEN (current_setting('candleworks.inserts', true) IS DISTINCT FROM 'logged')$$, family.name);
        EXECUTE format($sql$
            CREATE TRIGGER log_updates AFTER UPDATE ON public.%1$I REFERENCING OLD TABLE AS replaced NEW TABLE AS changed
                FOR EACH STATEMENT EXECUTE FUNCTION candleworks.log_updated_ticks(%2$L);
            CREATE TRIGGER log_deletes AFTER DELETE ON public.%1$I
                FOR EACH ROW EXECUTE FUNCTION candleworks.log_deleted_tick(%2$L)
        $sql$, family.ticks, family.name);
    END LOOP;
END $create$;

-- Gaps decide which candles are closed. A gap without a symbol concerns all of its feed.
CREATE FUNCTION candleworks.log_gap() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gap public.feed_gaps := coalesce(NEW, OLD);
BEGIN
    PERFORM candleworks.log_ranges(
        'gap', false, ARRAY[coalesce(gap.symbol, '')], ARRAY[gap.started_at], ARRAY[coalesce(gap.ended_at, clock_timestamp())]
    );
    RETURN NULL;
END $$;
CREATE TRIGGER log_gap AFTER INSERT OR UPDATE OR DELETE ON public.feed_gaps
    FOR EACH ROW EXECUTE FUNCTION candleworks.log_gap();

CREATE FUNCTION candleworks.log_gap_fill() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM candleworks.log_ranges('gap', false, array_agg(NEW.symbol), array_agg(g.started_at), array_agg(g.ended_at))
    FROM public.feed_gaps g WHERE g.id = NEW.gap_id AND g.ended_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER log_gap_fill AFTER INSERT OR UPDATE ON public.gap_fills
    FOR EACH ROW EXECUTE FUNCTION candleworks.log_gap_fill();

-- Daily bars are days of trades that have no ticks.
CREATE FUNCTION candleworks.log_daily_bars() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM candleworks.log_ranges('trade', TG_OP = 'DELETE', array_agg(s.symbol), array_agg(s.first), array_agg(s.last))
    FROM (SELECT c.symbol, min(c.bucket) AS first, max(c.bucket) AS last FROM changed c GROUP BY c.symbol) s;
    RETURN NULL;
END $$;
CREATE TRIGGER log_inserts AFTER INSERT ON public.daily_bars REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.log_daily_bars();
CREATE TRIGGER log_updates AFTER UPDATE ON public.daily_bars REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.log_daily_bars();
CREATE TRIGGER log_deletes AFTER DELETE ON public.daily_bars REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.log_daily_bars();

-- A transaction of many statements is one change per symbol, so that nobody waits for it to number thousands.
CREATE FUNCTION candleworks.merge_unpublished() RETURNS void
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM candleworks.stream_log WHERE position IS NULL RETURNING changed, symbols, firsts, lasts
    )
    INSERT INTO candleworks.stream_log (leads, changed, removed, symbols, firsts, lasts)
    SELECT false, s.changed, true, array_agg(s.symbol), array_agg(s.first), array_agg(s.last)
    FROM (
        SELECT g.changed, r.symbol, min(r.first) AS first, max(r.last) AS last
        FROM gone g CROSS JOIN LATERAL unnest(g.symbols, g.firsts, g.lasts) r(symbol, first, last)
        GROUP BY 1, 2
    ) s
    GROUP BY s.changed
$$;

-- Drops what is older than ten minutes, and all but the newest 50,000 rows. Not in transactions that would fail when another
-- one has dropped the same rows.
CREATE FUNCTION candleworks.trim_stream(newest bigint) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM candleworks.stream_log l
    WHERE current_setting('transaction_isolation') = 'read committed' AND l.position < greatest(newest - 50000, (
        SELECT k.position FROM candleworks.stream_log k
        WHERE k.position IS NOT NULL AND k.committed_at >= clock_timestamp() - interval '10 minutes'
        ORDER BY k.position LIMIT 1
    ))
$$;

-- Numbers what the transaction changed, as its last act. The lock is held until the commit is visible, so that whoever has seen
-- a position has seen all before it. Commits that notify wait for each other anyway.
CREATE FUNCTION candleworks.publish_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    published bigint;
    newest bigint;
BEGIN
    PERFORM set_config('candleworks.' || s, '', true)
    FROM unnest('{unpublished,unpublished_ticks,unpublished_inserts,unpublished_deletes}'::text[]) s;
    IF (SELECT count(*) FROM (SELECT FROM candleworks.stream_log WHERE position IS NULL LIMIT 101) l) > 100 THEN
        PERFORM candleworks.merge_unpublished();
    END IF;
    PERFORM pg_advisory_xact_lock(candleworks.lock_class('stream'), 0);
    WITH numbered AS (
        UPDATE candleworks.stream_log
        SET position = nextval('candleworks.stream_position'), committed_at = clock_timestamp()
        WHERE position IS NULL
        RETURNING position
    )
    SELECT count(*), max(position) INTO published, newest FROM numbered;
    PERFORM pg_notify('candleworks_stream', '');
    IF newest % 64 < published THEN
        PERFORM candleworks.trim_stream(newest);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER publish AFTER INSERT ON candleworks.stream_log
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.leads) EXECUTE FUNCTION candleworks.publish_changes();

-- The oldest and the newest position of the log, 0 while it is empty. Acts for the owner, as the next one: who may read candles
-- needs no right to the log.
CREATE FUNCTION candleworks.stream_bounds(OUT oldest bigint, OUT newest bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(min(l.position), 0), coalesce(max(l.position), 0)
    FROM candleworks.stream_log l WHERE l.position IS NOT NULL
$$;

-- What was committed after a position, oldest first, at most so many rows.
CREATE FUNCTION candleworks.stream_since(after bigint, most integer) RETURNS TABLE (
    "position" bigint, committed_at timestamptz, changed text, removed boolean, symbols text[], firsts timestamptz[],
    lasts timestamptz[], counts bigint[], received_first timestamptz, received_last timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.position, l.committed_at, l.changed, l.removed, l.symbols, l.firsts, l.lasts, l.counts, l.received_first,
        l.received_last
    FROM candleworks.stream_log l WHERE l.position > after ORDER BY l.position LIMIT most
$$;

-- A log that is not empty tells a client that it missed nothing from one that it cannot know.
SELECT candleworks.log_ranges('gap', false, '{}', '{}', '{}');
