-- Candles without TimescaleDB. Each level is a table that a refresh fills from the level below, and a public view that
-- replaces what is out of date by what the ticks say at this moment. docs/decisions/0006 tells why it is exact.
-- Everything is made by candleworks.create_candles(), because trades and quotes differ in nothing but their columns.
-- Locks: none, everything is new.

-- Days are 24 hours, because '1 day' follows the clock changes of the session's zone.
CREATE TABLE candleworks.candle_levels (
    name text PRIMARY KEY,
    width interval NOT NULL UNIQUE,
    below text REFERENCES candleworks.candle_levels
);
INSERT INTO candleworks.candle_levels (name, width, below) VALUES
    ('1m', '1 minute', NULL),
    ('5m', '5 minutes', '1m'),
    ('15m', '15 minutes', '5m'),
    ('1h', '1 hour', '15m'),
    ('4h', '4 hours', '1h'),
    ('1d', '24 hours', '4h');

-- The kinds of candles, by the table of their ticks; `prefix` stands before the names of their relations.
CREATE TABLE candleworks.candle_families (
    name text PRIMARY KEY,
    prefix text NOT NULL UNIQUE,
    ticks text NOT NULL
);

-- What a candle has besides bucket and symbol, and how it follows from the ticks t and from the candles b of the level
-- below.
CREATE TABLE candleworks.candle_columns (
    family text NOT NULL REFERENCES candleworks.candle_families,
    position integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    type text NOT NULL,
    required boolean NOT NULL,
    of_ticks text NOT NULL,
    of_candles text NOT NULL,
    PRIMARY KEY (family, name)
);

-- Every relation of candles: where it reads, what it is called in reports ('1m', 'quote 1m'), the table behind it, and
-- the functions that know a candle: `live` from its source (exact at any moment), `settled` from the table behind its
-- source (for the refresh, which goes from the bottom up and needs no more).
CREATE VIEW candleworks.candle_relations AS
SELECT
    f.name AS family,
    replace(f.prefix, '_', ' ') || l.name AS label,
    l.width,
    f.prefix || 'candles_' || l.name AS relation,
    coalesce(f.prefix || 'candles_' || l.below, f.ticks) AS source,
    'stored_' || f.prefix || l.name AS stored,
    'stored_' || f.prefix || l.below AS stored_source,
    f.prefix || 'candle_of_' || coalesce(l.below, 'ticks') AS live,
    coalesce('stored_' || f.prefix || 'candle_of_' || l.below, f.prefix || 'candle_of_ticks') AS settled,
    f.prefix || 'candle_invalidations' AS notes,
    l.below IS NULL AS of_ticks
FROM candleworks.candle_families f CROSS JOIN candleworks.candle_levels l;

-- Notes minutes whose ticks changed since the last refresh. Append-only and without a unique key on purpose: a transaction
-- always leaves its own row, so a refresh that runs at the same time can never delete the note of a tick it did not see.
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
        CREATE INDEX %2$I ON candleworks.%1$I (symbol, bucket);

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
    $sql$, notes, notes || '_symbol_bucket', noting, family.ticks);
END $create$;

-- Makes a function that returns the candle of one symbol's rows of `source` in [start, stop); no row when there are none.
CREATE FUNCTION candleworks.create_candle_function(family text, name text, source regclass, of_ticks boolean) RETURNS void
LANGUAGE plpgsql AS $create$
DECLARE
    columns text;
    expressions text;
BEGIN
    SELECT
        string_agg(format('%I %s', c.name, c.type), ', ' ORDER BY c.position),
        string_agg(CASE WHEN $4 THEN c.of_ticks ELSE c.of_candles END, ', ' ORDER BY c.position)
    INTO columns, expressions FROM candleworks.candle_columns c WHERE c.family = $1;
    EXECUTE format($sql$
        CREATE FUNCTION candleworks.%1$I(wanted text, start timestamptz, stop timestamptz) RETURNS TABLE (%2$s)
        LANGUAGE sql STABLE PARALLEL SAFE AS $body$
            SELECT %3$s
            FROM %4$s %5$s
            WHERE %5$s.symbol = wanted AND %5$s.%6$s >= start AND %5$s.%6$s < stop
            HAVING count(*) > 0
        $body$
    $sql$, name, columns, expressions, source,
        CASE WHEN of_ticks THEN 't' ELSE 'b' END, CASE WHEN of_ticks THEN 'time' ELSE 'bucket' END);
END $create$;

-- Makes the table, the functions and the view of one level. Half-empty pages let the forming candle be rewritten in
-- place (HOT).
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
        CREATE TABLE candleworks.%I (
            bucket timestamptz NOT NULL,
            symbol text NOT NULL,
            %s,
            PRIMARY KEY (symbol, bucket)
        ) WITH (fillfactor = 80)
    $sql$, level.stored, columns);

    PERFORM candleworks.create_candle_function(
        level.family, level.live, format('public.%I', level.source)::regclass, level.of_ticks);
    IF level.settled <> level.live THEN
        PERFORM candleworks.create_candle_function(
            level.family, level.settled, format('candleworks.%I', level.stored_source)::regclass, level.of_ticks);
    END IF;

    EXECUTE format($sql$
        CREATE VIEW public.%1$I AS
        SELECT bucket, symbol, %2$s
        FROM candleworks.%3$I s
        WHERE NOT EXISTS (SELECT FROM candleworks.%4$I i WHERE i.symbol = s.symbol AND %5$s = s.bucket)
        UNION ALL
        SELECT i.bucket, i.symbol, %2$s
        FROM (SELECT DISTINCT i.symbol, %5$s AS bucket FROM candleworks.%4$I i) i
        CROSS JOIN LATERAL candleworks.%6$I(i.symbol, i.bucket, i.bucket + %7$L::interval)
    $sql$, level.relation, names, level.stored, level.notes, bucket, level.live, level.width);
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

INSERT INTO candleworks.candle_families (name, prefix, ticks) VALUES ('trade', '', 'stocks_real_time');
INSERT INTO candleworks.candle_columns (family, name, type, required, of_ticks, of_candles) VALUES
    ('trade', 'open', 'double precision', true,
        '(array_agg(t.price ORDER BY t.time))[1]', '(array_agg(b.open ORDER BY b.bucket))[1]'),
    ('trade', 'high', 'double precision', true, 'max(t.price)', 'max(b.high)'),
    ('trade', 'low', 'double precision', true, 'min(t.price)', 'min(b.low)'),
    ('trade', 'close', 'double precision', true,
        '(array_agg(t.price ORDER BY t.time))[count(*)]', '(array_agg(b.close ORDER BY b.bucket))[count(*)]'),
    ('trade', 'volume', 'double precision', false, 'sum(t.volume)', 'sum(b.volume)'),
    ('trade', 'vwap', 'double precision', false,
        'sum(t.price * t.volume) / nullif(sum(t.volume), 0)', 'sum(b.vwap * b.volume) / nullif(sum(b.volume), 0)'),
    ('trade', 'day_volume', 'double precision', false,
        '(array_agg(t.day_volume ORDER BY t.time) FILTER (WHERE t.day_volume IS NOT NULL))[count(t.day_volume)]',
        '(array_agg(b.day_volume ORDER BY b.bucket) FILTER (WHERE b.day_volume IS NOT NULL))[count(b.day_volume)]'),
    ('trade', 'ticks', 'bigint', true, 'count(*)', 'sum(b.ticks)::bigint'),
    ('trade', 'rebuilt', 'boolean', true, 'bool_or(t.origin = ''bar'')', 'bool_or(b.rebuilt)');
SELECT candleworks.create_candles('trade');
