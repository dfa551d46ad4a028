-- Candles without TimescaleDB. Each level is a table that a refresh fills from the level below, and a public view that
-- replaces what is out of date by what the ticks say at this moment. docs/decisions/0006 says why it is exact.
-- Everything is made by candleworks.create_candles(), because trades and quotes differ in nothing but their columns.
-- Locks: none, everything is new.

-- Every relation of candles: what it is called in reports ('1m', 'quote 1m'), the level below, the table behind it, and
-- what the refresh computes it from: it goes from the bottom up, so the stored candles of the level below are right.
CREATE VIEW candleworks.candle_relations AS
SELECT
    f.name AS family,
    replace(f.prefix, '_', ' ') || l.name AS label,
    l.width,
    f.prefix || 'candles_' || l.name AS relation,
    f.prefix || 'candles_' || l.below AS below,
    'candleworks.stored_' || f.prefix || l.name AS stored,
    coalesce('candleworks.stored_' || f.prefix || l.below, 'public.' || f.ticks) AS stored_source,
    'candleworks.' || f.prefix || 'candle_invalidations' AS notes,
    l.below IS NULL AS of_ticks
FROM candleworks.candle_families f CROSS JOIN candleworks.candle_levels l;

-- Notes minutes whose ticks changed since the last refresh. Append-only and without a unique key on purpose: a transaction
-- always leaves its own row, so a refresh that runs at the same time can never delete the note of a tick it did not see.
-- The index has the order in which a refresh takes them: 20,000 of a million in 33 ms instead of 1,039 by symbol and bucket.
-- Who may write ticks needs no right to the notes: the triggers act for the owner.
CREATE FUNCTION candleworks.create_candle_notes(family candleworks.candle_families) RETURNS void
LANGUAGE plpgsql AS $create$
DECLARE
    notes text := family.prefix || 'candle_invalidations';
    noting text := 'invalidate_' || family.prefix || 'candles';
BEGIN
    EXECUTE format($sql$
        CREATE TABLE candleworks.%1$I (
            symbol text NOT NULL,
            bucket timestamptz NOT NULL
        ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
        CREATE INDEX %2$I ON candleworks.%1$I (bucket, symbol);

        CREATE FUNCTION candleworks.%3$I() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE
            -- What is older has lost its ticks: a late one must not replace a candle by itself alone.
            horizon timestamptz := coalesce((
                SELECT dropped_before FROM candleworks.retention_horizons WHERE relation = TG_TABLE_NAME
            ), '-infinity');
        BEGIN
            IF TG_OP <> 'DELETE' THEN
                INSERT INTO candleworks.%1$I (symbol, bucket)
                SELECT DISTINCT symbol, date_trunc('minute', time, 'UTC') FROM changed WHERE time >= horizon;
            END IF;
            IF TG_OP <> 'INSERT' THEN
                INSERT INTO candleworks.%1$I (symbol, bucket)
                SELECT DISTINCT symbol, date_trunc('minute', time, 'UTC') FROM replaced WHERE time >= horizon;
            END IF;
            RETURN NULL;
        END $body$;

        CREATE TRIGGER invalidate_on_insert AFTER INSERT ON public.%4$I
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION candleworks.%3$I();
        CREATE TRIGGER invalidate_on_update AFTER UPDATE ON public.%4$I
            REFERENCING OLD TABLE AS replaced NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION candleworks.%3$I();
        CREATE TRIGGER invalidate_on_delete AFTER DELETE ON public.%4$I
            REFERENCING OLD TABLE AS replaced FOR EACH STATEMENT EXECUTE FUNCTION candleworks.%3$I()
    $sql$, notes, notes || '_bucket_symbol', noting, family.ticks);
END $create$;

-- The query that computes what a relation has to hold for i.symbol and i.bucket; no row when nothing lies in the bucket.
-- It is put into other queries as text: that way who may read a view needs no rights on what stands behind it.
CREATE FUNCTION candleworks.candle_query(level candleworks.candle_relations, source text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format(
        'SELECT %1$s FROM %2$s %3$s WHERE %3$s.symbol = i.symbol AND %3$s.%4$s >= i.bucket'
        ' AND %3$s.%4$s < i.bucket + %5$L::interval HAVING count(*) > 0',
        string_agg(
            format('%s AS %I', CASE WHEN level.of_ticks THEN c.of_ticks ELSE c.of_candles END, c.name), ', '
            ORDER BY c.position
        ),
        source,
        CASE WHEN level.of_ticks THEN 't' ELSE 'b' END,
        CASE WHEN level.of_ticks THEN 'time' ELSE 'bucket' END,
        level.width
    )
    FROM candleworks.candle_columns c WHERE c.family = level.family
$$;

-- The query that computes the same with nothing stored that is out of date: below this level, noted buckets are computed
-- and the others read. All conditions are ranges of plain columns, and min() is no anti-join: the planner, for whom the
-- notes are always empty, would compare every candle with every note (5,000 notes of a symbol: half a minute).
CREATE FUNCTION candleworks.live_candle_query(level candleworks.candle_relations) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    below candleworks.candle_relations;
    names text;
BEGIN
    IF level.of_ticks THEN
        RETURN candleworks.candle_query(level, level.stored_source);
    END IF;
    SELECT * INTO below FROM candleworks.candle_relations r WHERE r.relation = level.below;
    SELECT string_agg(format('%I', c.name), ', ' ORDER BY c.position) INTO names
    FROM candleworks.candle_columns c WHERE c.family = level.family;
    RETURN candleworks.candle_query(level, format($sql$(
        SELECT s.symbol, s.bucket, %1$s FROM %2$s s
        WHERE s.symbol = i.symbol AND s.bucket >= i.bucket AND s.bucket < i.bucket + %3$L::interval AND (
            SELECT min(n.bucket) FROM %4$s n
            WHERE n.symbol = s.symbol AND n.bucket >= s.bucket AND n.bucket < s.bucket + %5$L::interval
        ) IS NULL
        UNION ALL
        SELECT i.symbol, i.bucket, %1$s
        FROM (
            SELECT DISTINCT n.symbol, public.time_bucket(%5$L, n.bucket) AS bucket FROM %4$s n
            WHERE n.symbol = i.symbol AND n.bucket >= i.bucket AND n.bucket < i.bucket + %3$L::interval
        ) i
        CROSS JOIN LATERAL (%6$s) c
    )$sql$, names, below.stored, level.width, level.notes, below.width, candleworks.live_candle_query(below)));
END $$;

-- Makes the table and the view of one level. Half-empty pages let the forming candle be rewritten in place (HOT).
CREATE FUNCTION candleworks.create_candle_level(level candleworks.candle_relations) RETURNS void
LANGUAGE plpgsql AS $create$
DECLARE
    columns text;
    names text;
    bucket text := CASE WHEN level.of_ticks THEN 'i.bucket' ELSE format('public.time_bucket(%L, i.bucket)', level.width) END;
BEGIN
    SELECT
        string_agg(format('%I %s%s', c.name, c.type, CASE WHEN c.required THEN ' NOT NULL' END), ', ' ORDER BY c.position),
        string_agg(format('%I', c.name), ', ' ORDER BY c.position)
    INTO columns, names FROM candleworks.candle_columns c WHERE c.family = level.family;
    EXECUTE format($sql$
        CREATE TABLE %s (
            bucket timestamptz NOT NULL,
            symbol text NOT NULL,
            %s,
            PRIMARY KEY (symbol, bucket)
        ) WITH (fillfactor = 80)
    $sql$, level.stored, columns);
    EXECUTE format($sql$
        CREATE VIEW public.%1$I AS
        SELECT bucket, symbol, %2$s
        FROM %3$s s
        WHERE NOT EXISTS (SELECT FROM %4$s i WHERE i.symbol = s.symbol AND %5$s = s.bucket)
        UNION ALL
        SELECT i.bucket, i.symbol, %2$s
        FROM (SELECT DISTINCT i.symbol, %5$s AS bucket FROM %4$s i) i
        CROSS JOIN LATERAL (%6$s) c
    $sql$, level.relation, names, level.stored, level.notes, bucket, candleworks.live_candle_query(level));
END $create$;

-- Makes all candles of one family, whose columns are listed.
CREATE FUNCTION candleworks.create_candles(family text) RETURNS void
LANGUAGE plpgsql AS $create$
BEGIN
    PERFORM candleworks.create_candle_notes(f) FROM candleworks.candle_families f WHERE f.name = $1;
    PERFORM candleworks.create_candle_level(r) FROM (
        SELECT * FROM candleworks.candle_relations c WHERE c.family = $1 ORDER BY c.width
    ) r;
END $create$;

SELECT candleworks.create_candles('trade'), candleworks.create_candles('quote');
