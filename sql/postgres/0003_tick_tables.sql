-- How tables of ticks are stored: one partition per week, so that retention drops whole tables.
-- Locks: none, everything is new.
CREATE FUNCTION candleworks.create_ticks(name text, columns text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE public.%I (%s) PARTITION BY RANGE (time)', name, columns);
END $$;

-- Makes sure that rows of [first, last] have a partition in this table of ticks. Harmless to repeat and to run at the
-- same time.
-- A new table is attached instead of created in place: that takes SHARE UPDATE EXCLUSIVE on the parent, which neither
-- readers nor writers notice. Weeks are counted in hours, because a day of the session's zone may have 23.
CREATE FUNCTION candleworks.prepare_partitions(table_name text, first timestamptz, last timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    week timestamptz := public.time_bucket('7 days', first);
    partition text;
BEGIN
    WHILE week <= last LOOP
        partition := table_name || '_' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF to_regclass('candleworks.' || partition) IS NULL THEN
            PERFORM pg_advisory_xact_lock(candleworks.lock_class('prepare_partitions'), 0);
            -- Not to_regclass() again: it remembers that there was none, even when somebody made it while we waited.
            IF NOT EXISTS (
                SELECT FROM pg_class WHERE relname = partition AND relnamespace = 'candleworks'::regnamespace
            ) THEN
                EXECUTE format('CREATE TABLE candleworks.%I (LIKE public.%I INCLUDING ALL)', partition, table_name);
                EXECUTE format(
                    'ALTER TABLE public.%I ATTACH PARTITION candleworks.%I FOR VALUES FROM (%L) TO (%L)',
                    table_name, partition, week, week + interval '168 hours');
            END IF;
        END IF;
        week := week + interval '168 hours';
    END LOOP;
END $$;
