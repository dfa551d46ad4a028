-- What the chart page and the quality page need: where a symbol's trading day ended, and who silenced an alert.
-- Locks: candleworks.calendars, for a moment.

-- The time zone in which the exchange's dates change. Null until the calendar is computed again, which its new source makes
-- the next start do.
ALTER TABLE candleworks.calendars ADD COLUMN zone text;
UPDATE candleworks.calendars SET source = source || ', without zone';

-- The calendar that a symbol follows: named in the configuration, else FX for currency pairs, around the clock for other
-- pairs, and that of stocks for the rest. Null where no configuration was stored yet.
CREATE FUNCTION candleworks.calendar_name(wanted text) RETURNS text
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN coalesce(
        (SELECT r.calendar FROM candleworks.calendar_rules r WHERE r.symbol = wanted),
        CASE WHEN candleworks.is_currency_pair(wanted) THEN 'FX' WHEN strpos(wanted, '/') > 0 THEN '24/7' END,
        (SELECT r.calendar FROM candleworks.calendar_rules r WHERE r.symbol = '*')
    );
END $$;

-- The same, refused where the calendar has no sessions.
CREATE OR REPLACE FUNCTION candleworks.calendar_of(wanted text) RETURNS text
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    found text := candleworks.calendar_name(wanted);
BEGIN
    IF found IS NULL OR found <> '24/7' AND NOT EXISTS (SELECT FROM candleworks.calendars c WHERE c.name = found) THEN
        RAISE EXCEPTION 'No sessions are stored for the calendar of %: run candleworks migrate.', wanted
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN found;
END $$;

-- Where the trading day before that of a moment ended: the price then is the previous close. A moment within a session
-- belongs to the day of that session, which may have opened the evening before; any other one, such as before the open or
-- after the close, to its date in the exchange's zone. 24/7 has days in UTC. Null: no earlier session is known.
CREATE FUNCTION candleworks.previous_day_end(wanted text, moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN wanted = '24/7' THEN date_trunc('day', moment, 'UTC') ELSE (
        SELECT p.close_at
        FROM candleworks.calendars c
        LEFT JOIN LATERAL (
            SELECT s.open_at, s.close_at FROM candleworks.sessions s
            WHERE s.calendar = c.name AND s.open_at <= moment ORDER BY s.open_at DESC LIMIT 1
        ) s ON true
        CROSS JOIN LATERAL (
            SELECT p.close_at FROM candleworks.sessions p
            WHERE p.calendar = c.name AND p.open_at < moment
                AND p.close_at <= CASE WHEN s.close_at > moment THEN s.open_at ELSE date_trunc('day', moment, c.zone) END
            ORDER BY p.open_at DESC LIMIT 1
        ) p
        WHERE c.name = wanted
    ) END
$$;

DROP FUNCTION public.silence_alert(bigint, timestamptz, text);
DROP FUNCTION public.unsilence_alert(bigint);

CREATE FUNCTION public.silence_alert(
    alert bigint, "until" timestamptz, reason text, "by" text DEFAULT session_user
) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    IF "until" <= clock_timestamp() THEN
        RAISE EXCEPTION 'An alert cannot be silenced until %, which is in the past: give a later time.', "until"
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE public.alerts a SET silenced_until = "until", silence_reason = reason WHERE a.id = alert RETURNING * INTO changed;
    PERFORM candleworks.record_alert_event(changed, 'silenced', format('until %s by %s: %s', "until", "by", reason));
    RETURN changed;
END $$;
COMMENT ON FUNCTION public.silence_alert IS
    'Sends nothing about the alert, nor about the next ones of its check and subject, until the given time.';

CREATE FUNCTION public.unsilence_alert(alert bigint, "by" text DEFAULT session_user) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    UPDATE public.alerts a SET silenced_until = NULL, silence_reason = NULL WHERE a.id = alert RETURNING * INTO changed;
    PERFORM candleworks.record_alert_event(changed, 'unsilenced', 'by ' || "by");
    RETURN changed;
END $$;
COMMENT ON FUNCTION public.unsilence_alert IS 'Ends the silence of an alert.';

-- Every symbol that was traded in the seven days before a moment, as it stood then: its last tick, the change against the
-- previous close, and the candle of its UTC day. `only_symbol` leaves one.
-- The previous close is the last price before the previous trading day ended, as on the chart page. Sought in the eight
-- hours before that end, then in the 30 days.
-- One statement for all symbols: a function for each took 160 ms for 50 of them on TimescaleDB.
CREATE OR REPLACE FUNCTION dashboards.prices(moment timestamptz, only_symbol text DEFAULT NULL) RETURNS TABLE (
    symbol text, name text, "time" timestamptz, price double precision, previous_close double precision,
    change double precision, change_percent double precision, high double precision, low double precision,
    volume double precision, vwap double precision, ticks bigint
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        SELECT d.symbol, k.name, t.time, t.price, p.close, t.price - p.close,
            100 * (t.price - p.close) / nullif(p.close, 0), d.high, d.low, d.volume, d.vwap, d.ticks
        FROM (
            SELECT DISTINCT ON (symbol) * FROM public.candles_1d
            WHERE bucket > $1 - interval '7 days' AND bucket <= $1 %s
            ORDER BY symbol, bucket DESC
        ) d
        CROSS JOIN LATERAL (
            SELECT time, price FROM public.stocks_real_time t
            WHERE t.symbol = d.symbol AND t.time >= d.bucket AND t.time <= $1 ORDER BY t.time DESC LIMIT 1
        ) t
        CROSS JOIN LATERAL (
            SELECT candleworks.previous_day_end(candleworks.calendar_of(d.symbol), t.time) AS stop
        ) e
        LEFT JOIN LATERAL (
            SELECT c.close FROM public.candles_5m c
            WHERE c.symbol = d.symbol AND c.bucket >= e.stop - interval '8 hours' AND c.bucket < e.stop
            ORDER BY c.bucket DESC LIMIT 1
        ) h ON true
        LEFT JOIN LATERAL (
            SELECT c.close FROM public.candles_1d c
            WHERE h.close IS NULL AND c.symbol = d.symbol
                AND c.bucket >= e.stop - interval '30 days' AND c.bucket <= e.stop - interval '24 hours'
            ORDER BY c.bucket DESC LIMIT 1
        ) b ON true
        CROSS JOIN LATERAL (SELECT coalesce(h.close, b.close) AS close) p
        LEFT JOIN public.company k ON k.symbol = d.symbol
    $sql$, CASE WHEN only_symbol IS NOT NULL THEN 'AND symbol = $2' END)
    USING moment, only_symbol;
END $$;
