-- What became of filling the gaps from the vendor's one-minute bars, and which minutes hold bars instead of ticks.
-- Locks: a moment on feed_gaps for the foreign key, everything else is new.

-- One row per gap and symbol that was tried. filled: bars were written; empty: there is nothing to fetch, and reason says
-- why; failed: it could not be fetched, and reason says why. A gap is filled when none of its symbols is missing or failed.
-- What was fetched of a long gap before an interruption ends at fetched_until.
CREATE TABLE public.gap_fills (
    gap_id bigint NOT NULL REFERENCES public.feed_gaps ON DELETE CASCADE,
    symbol text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('filled', 'empty', 'failed')),
    bars bigint NOT NULL,
    reason text,
    attempts integer NOT NULL,
    fetched_until timestamptz,
    at timestamptz NOT NULL,
    PRIMARY KEY (gap_id, symbol),
    CHECK ((reason IS NULL) = (outcome = 'filled'))
);

-- The bars behind the ticks whose origin is 'bar'. parts is what of the minute lies in gaps, known how many ticks were
-- there when it was filled: as soon as there are more, the bar's ticks give way to them. volume_at is the time of the tick
-- that carries the volume.
CREATE TABLE candleworks.vendor_bars (
    symbol text NOT NULL,
    minute timestamptz NOT NULL,
    parts tstzmultirange NOT NULL,
    known bigint NOT NULL,
    volume double precision,
    volume_at timestamptz NOT NULL,
    PRIMARY KEY (symbol, minute)
);

-- Trading days in which bars were written not long ago. A feed that runs counts its next tick's volume from what it knows,
-- which are no bars: these days are looked at again until such a tick has come. first to last are the bars, top is their
-- highest running total.
CREATE TABLE candleworks.fill_followups (
    symbol text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    top double precision,
    PRIMARY KEY (symbol, day_start)
);

-- Gives the trades around new ones the volume that follows from the running maximum of day_volume within their trading day.
-- Only a stretch of the day can change: from the last trade before the new ones that raised the maximum (the seed) to the
-- first one after them that stands above all of them. Each day may be named once only. Written is symbol by symbol, because
-- for a join TimescaleDB decompresses all symbols of a chunk: 100,000 ticks, and it refuses.
CREATE FUNCTION candleworks.recompute_volumes(
    symbols text[], day_starts timestamptz[], day_ends timestamptz[], firsts timestamptz[], lasts timestamptz[],
    tops double precision[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    change record;
BEGIN
    FOR change IN
        WITH touched AS (
            SELECT * FROM unnest(symbols, day_starts, day_ends, firsts, lasts, tops)
                t(symbol, day_start, day_end, first, last, top)
        ), stretch AS MATERIALIZED (
            SELECT d.symbol, d.day_start, seed.time AS seed,
                coalesce(seed.time, d.day_start) AS start, coalesce(above.time, d.day_end - interval '1 microsecond') AS stop,
                seed.time IS NULL AND EXISTS (
                    SELECT FROM public.stocks_real_time p WHERE p.symbol = d.symbol AND p.time < d.day_start
                ) AS from_zero
            FROM touched d
            LEFT JOIN LATERAL (
                SELECT t.time FROM public.stocks_real_time t
                WHERE t.symbol = d.symbol AND t.time >= d.day_start AND t.time < d.first
                    AND t.day_volume IS NOT NULL AND (t.volume > 0 OR t.volume IS NULL)
                ORDER BY t.time DESC LIMIT 1
            ) seed ON true
            LEFT JOIN LATERAL (
                SELECT t.time FROM public.stocks_real_time t
                WHERE t.symbol = d.symbol AND t.time > d.last AND t.time < d.day_end
                    AND t.volume > 0 AND t.day_volume > d.top
                ORDER BY t.time LIMIT 1
            ) above ON true
        ), walked AS (
            SELECT s.symbol, s.day_start, t.time, t.volume, t.day_volume, s.from_zero, s.seed,
                max(t.day_volume) OVER (
                    PARTITION BY s.symbol, s.day_start ORDER BY t.time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS before
            FROM stretch s
            CROSS JOIN LATERAL (
                SELECT t.time, t.volume, t.day_volume FROM public.stocks_real_time t
                WHERE t.symbol = s.symbol AND t.time >= s.start AND t.time <= s.stop
            ) t
        ), due AS (
            SELECT symbol, day_start, time, CASE
                WHEN before IS NOT NULL THEN greatest(day_volume - before, 0)
                WHEN from_zero THEN day_volume
            END AS volume, volume AS stored
            FROM walked WHERE day_volume IS NOT NULL AND time IS DISTINCT FROM seed
        )
        SELECT d.symbol, min(d.time) AS start, max(d.time) AS stop,
            array_agg(d.time) AS times, array_agg(d.volume) AS volumes
        FROM due d WHERE d.volume IS DISTINCT FROM d.stored
        GROUP BY d.symbol, d.day_start
    LOOP
        EXECUTE 'UPDATE public.stocks_real_time t SET volume = d.volume FROM unnest($4, $5) d(time, volume)
            WHERE t.symbol = $1 AND t.time >= $2 AND t.time <= $3 AND t.time = d.time'
        USING change.symbol, change.start, change.stop, change.times, change.volumes;
    END LOOP;
END $$;
