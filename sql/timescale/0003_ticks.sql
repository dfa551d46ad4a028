-- Trades as they came, a hypertable with the configured chunk interval.
-- `time` is the vendor's stamp plus the tick's ordinal within (symbol, stamp) in microseconds; docs/decisions/0005.
-- Locks: none, everything is new.
CREATE TABLE public.stocks_real_time (
    time timestamptz NOT NULL,
    symbol text NOT NULL,
    price double precision NOT NULL CHECK (price >= 0 AND price < 'Infinity'),
    day_volume double precision,
    volume double precision,
    bid double precision,
    ask double precision,
    received_at timestamptz NOT NULL DEFAULT now(),
    origin text NOT NULL DEFAULT 'manual',
    UNIQUE (symbol, time)
);
SELECT public.create_hypertable(
    'public.stocks_real_time',
    public.by_range('time', current_setting('candleworks.chunk_interval')::interval),
    create_default_indexes => false
);

-- Every transaction that writes ticks holds a lock, shared, until it has committed; a refresh that advances takes it
-- exclusively for a moment. Without it TimescaleDB 2.29 loses the note of an insert that commits while a refresh passes
-- over its time: 13 of 16,000 in a test, none with the lock.
CREATE FUNCTION candleworks.hold_back_refresh() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('candleworks.insert_ticks'));
    RETURN NULL;
END $$;
CREATE TRIGGER hold_back_refresh BEFORE INSERT OR UPDATE OR DELETE ON public.stocks_real_time
    FOR EACH STATEMENT EXECUTE FUNCTION candleworks.hold_back_refresh();

-- TimescaleDB makes chunks by itself; the function exists so that callers need not know.
CREATE FUNCTION candleworks.prepare_ticks(first timestamptz, last timestamptz) RETURNS void
LANGUAGE sql IMMUTABLE RETURN NULL;
