-- What the Market dashboard asks: candles that are drawn at their own width and whose lines end where nothing was traded,
-- the period and the range to open with, marks with links, and turnover in one currency.
-- Locks: none, but the functions that change are dropped and made again.

-- Where the chart page is, for links: written by `candleworks reader` and `candleworks grafana`.
CREATE TABLE candleworks.page_address (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    url text NOT NULL
);
GRANT SELECT ON candleworks.page_address TO PUBLIC;

CREATE FUNCTION candleworks.set_page_address(address text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO candleworks.page_address AS p (url) VALUES (address)
    ON CONFLICT (one_row) DO UPDATE SET url = excluded.url WHERE p.url <> excluded.url
$$;

CREATE FUNCTION dashboards.page_url() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT p.url FROM candleworks.page_address p), 'http://127.0.0.1:8050')
$$;

-- The symbols to choose from, with names that are cut where they would break the row of controls; of a pair the second
-- part is in its symbol already.
CREATE VIEW dashboards.choices AS
SELECT s.symbol, s.stored, candleworks.calendar_name(s.symbol) = '24/7' AS always_open,
    concat_ws(' · ', s.symbol, CASE WHEN length(n.name) > 16 THEN left(n.name, 15) || '…' ELSE n.name END)
        || CASE WHEN s.stored THEN '' ELSE ' (no data)' END AS label
FROM dashboards.symbols s
LEFT JOIN public.company k ON k.symbol = s.symbol
CROSS JOIN LATERAL (SELECT nullif(split_part(k.name, ' / ', 1), '') AS name) n;

-- Text for the inside of HTML, which the texts of annotations are.
CREATE FUNCTION dashboards.html(plain text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT replace(replace(replace(plain, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')
$$;

-- The milliseconds since 1970 that Grafana's addresses have.
CREATE FUNCTION dashboards.url_time(moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT round(extract(epoch FROM moment) * 1000)::bigint::text
$$;

-- A link to a dashboard, over an hour before and after [start, stop]. Grafana removes addresses that begin otherwise than
-- with a dot, a slash or a protocol; with a dot they are right below another root, too.
CREATE FUNCTION dashboards.link(uid text, title text, start timestamptz, stop timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format('<a href="./d/%s?from=%s&amp;to=%s">%s</a>', uid, dashboards.url_time(start - interval '1 hour'),
        dashboards.url_time(least(coalesce(stop, now()) + interval '1 hour', now())), title)
$$;

-- The stored candle width that is drawn over ["from", "to"]: the chosen one while that is at most 5,000 candles, else the
-- narrowest one that is; for 'auto' the narrowest one with at most 400, which hold the minutes of a session.
CREATE FUNCTION dashboards.drawn_width(choice text, "from" timestamptz, "to" timestamptz) RETURNS interval
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN chosen.width * 5000 >= "to" - "from" THEN chosen.width
        ELSE dashboards.width('auto', extract(epoch FROM "to" - "from") * 1000 / CASE choice WHEN 'auto' THEN 400 ELSE 5000 END)
    END
    FROM (SELECT min(l.width) AS width FROM candleworks.candle_levels l WHERE l.name = choice) chosen
$$;

-- The period that is drawn, and how it is named: with the chosen one where that is another.
CREATE FUNCTION dashboards.drawn_period(choice text, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    name text, label text
)
LANGUAGE sql STABLE AS $$
    SELECT d.name, CASE WHEN choice IN ('auto', d.name) THEN d.name ELSE format('%s instead of %s', d.name, choice) END
    FROM (SELECT dashboards.level(dashboards.drawn_width(choice, "from", "to")) AS name) d
$$;

-- The range to look at a symbol in, as Grafana's addresses have it: its last session, up to now while that lasts; of
-- markets that are open day and night the 24 hours up to the newest tick.
CREATE FUNCTION dashboards.last_session(symbol text, moment timestamptz) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    newest timestamptz := greatest(
        candleworks.newest_tick(symbol, 'trade', moment), candleworks.newest_tick(symbol, 'mid', moment));
    last record;
BEGIN
    SELECT s.open_at, s.close_at INTO last FROM candleworks.sessions s
    WHERE s.calendar = candleworks.calendar_name(symbol) AND s.open_at <= newest
    ORDER BY s.open_at DESC LIMIT 1;
    IF last.close_at - last.open_at < interval '20 hours' THEN
        RETURN format('from=%s&to=%s', dashboards.url_time(last.open_at),
            CASE WHEN last.close_at <= moment THEN dashboards.url_time(last.close_at) ELSE 'now' END);
    ELSIF newest < moment - interval '1 hour' THEN
        RETURN format('from=%s&to=%s', dashboards.url_time(newest - interval '24 hours'), dashboards.url_time(newest));
    END IF;
    RETURN 'from=now-24h&to=now';
END $$;

-- How many seconds ago a symbol was traded; null where that was more than a minute ago and its market is closed.
CREATE FUNCTION dashboards.age(symbol text, traded timestamptz, moment timestamptz) RETURNS double precision
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN traded > moment - interval '1 minute' OR candleworks.open_times(
            candleworks.calendar_name(symbol), moment, moment + interval '1 second') @> moment
        THEN floor(extract(epoch FROM moment - traded))::double precision
    END
$$;

-- When nothing was traded between two candles that follow each other: the market was closed, or the feed was down. A line
-- from one to the other would say that something was. Within a trading day the hours before and after the session count
-- as open.
CREATE FUNCTION dashboards.interrupted(
    span tstzrange, open_times tstzmultirange, down_times tstzmultirange, zone text
) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT NOT isempty(span) AND (
        down_times && span
        OR NOT open_times @> span AND (lower(span) AT TIME ZONE zone)::date <> (upper(span) AT TIME ZONE zone)::date
    )
$$;

-- What dashboards.interrupted() has to know of a symbol.
CREATE FUNCTION dashboards.trading_times(
    symbol text, "from" timestamptz, "to" timestamptz,
    OUT zone text, OUT open_times tstzmultirange, OUT down_times tstzmultirange
)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(c.zone, 'UTC'), coalesce(candleworks.open_times(n.name, "from", "to"), '{(,)}'),
        candleworks.down_times(symbol, "from", "to")
    FROM (SELECT candleworks.calendar_name(symbol) AS name) n
    LEFT JOIN candleworks.calendars c ON c.name = n.name
$$;

-- Candles of a stored width that hold any moment of ["from", "to"], oldest first, with the averages of the last 20 and 50
-- closes (null while there are not as many) and, for candles shorter than a day, the volume-weighted average price since
-- the trading day began (trades only, null in the day's first candle, so that days are not connected). Averages outside of
-- what the candles span are null: they would set the scale. `decimals` are those of the prices; `forming` is the close of
-- a candle that is not over.
-- Two kinds of rows have only a time. One ends the lines where nothing was traded, one follows the last candle where no
-- two are neighbours, or they would be wider than among sixty: Grafana makes a candle as wide as the smallest distance of
-- two rows.
-- The averages need candles from before "from", and the VWAP those of its day. A market that is open 6.5 hours on weekdays
-- fills a fifth of the hours, and may have been closed for four days; coins are traded all the time. Only 49 of them are
-- averaged over, because PostgreSQL adds up every window of floats anew (6,000 candles: 60 ms), and days are cut by
-- date_trunc(), because the time_bucket() of plain PostgreSQL takes 5 µs (34 ms).
DROP FUNCTION dashboards.candles(text, interval, timestamptz, timestamptz, text);
CREATE FUNCTION dashboards.candles(
    symbol text, width interval, "from" timestamptz, "to" timestamptz, price text
) RETURNS TABLE (
    "time" timestamptz, open double precision, high double precision, low double precision, close double precision,
    volume double precision, sma_20 double precision, sma_50 double precision, vwap double precision,
    forming double precision, decimals integer
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    side record := candleworks.price_side(price);
    start timestamptz := public.time_bucket(width, "from");
    times record := dashboards.trading_times(symbol, start, "to");
    always_open boolean := strpos(symbol, '/') > 0 AND NOT candleworks.is_currency_pair(symbol);
    earlier timestamptz := CASE WHEN always_open THEN least(start - 100 * width, date_trunc('day', start, 'UTC'))
        ELSE start - 250 * width - interval '96 hours' END;
    widest interval := least(width, greatest(("to" - "from") / 60, interval '1 second'));
BEGIN
    RETURN QUERY EXECUTE format($sql$
        WITH candle AS (
            SELECT b.*,
                CASE WHEN $5 < interval '24 hours' AND row_number() OVER day > 1
                    THEN sum(b.weight) OVER day / nullif(sum(b.volume) OVER day, 0) END AS vwap,
                row_number() OVER (ORDER BY b.bucket) AS number, count(*) FILTER (WHERE b.bucket < $4) OVER () AS earlier
            FROM (
                SELECT bucket, %s AS weight, %s FROM public.%I WHERE symbol = $1 AND bucket >= $2 AND bucket <= $3
            ) b (bucket, weight, open, high, low, close, volume)
            WINDOW day AS (PARTITION BY date_trunc('day', b.bucket, $6) ORDER BY b.bucket)
        ), averaged AS (
            SELECT c.*,
                CASE WHEN count(*) OVER shorter = 20 THEN avg(c.close) OVER shorter END AS sma_20,
                CASE WHEN count(*) OVER longer = 50 THEN avg(c.close) OVER longer END AS sma_50
            FROM candle c
            WHERE c.number > c.earlier - 49
            WINDOW shorter AS (ORDER BY c.bucket ROWS 19 PRECEDING), longer AS (ORDER BY c.bucket ROWS 49 PRECEDING)
        ), shown AS MATERIALIZED (
            SELECT a.*, a.bucket + $5 AS stop, lead(a.bucket) OVER (ORDER BY a.bucket) AS next
            FROM averaged a WHERE a.bucket >= $4
        ), span AS (
            SELECT min(s.low) AS low, max(s.high) AS high,
                min(s.next - s.bucket) > $9 IS NOT false AS apart, max(s.bucket) + $9 AS neighbour
            FROM shown s HAVING count(*) > 0
        ), digits AS (
            SELECT least(max(scale(trim_scale(p.price::numeric))), 8) AS decimals
            FROM (SELECT * FROM shown s ORDER BY s.bucket DESC LIMIT 200) s
            CROSS JOIN LATERAL (VALUES (s.open), (s.high), (s.low), (s.close)) p(price)
        )
        SELECT s.bucket, s.open, s.high, s.low, s.close, s.volume,
            CASE WHEN s.sma_20 BETWEEN p.low AND p.high THEN s.sma_20 END,
            CASE WHEN s.sma_50 BETWEEN p.low AND p.high THEN s.sma_50 END,
            CASE WHEN s.vwap BETWEEN p.low AND p.high THEN s.vwap END,
            CASE WHEN s.stop > now() THEN s.close END, d.decimals
        FROM shown s CROSS JOIN span p CROSS JOIN digits d
        UNION ALL
        SELECT s.stop, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM shown s
        WHERE $5 < interval '24 hours' AND s.next > s.stop
            AND dashboards.interrupted(tstzrange(s.stop, s.next), $7, $8, $6)
        UNION ALL
        SELECT p.neighbour, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM span p WHERE p.apart
        ORDER BY 1
    $sql$,
        CASE side.family WHEN 'trade' THEN 'vwap * volume' ELSE 'NULL::double precision' END,
        side.columns, side.prefix || 'candles_' || dashboards.level(width))
    USING symbol, earlier, "to", start, width, times.zone, times.open_times, times.down_times, widest;
END $$;

-- The closes of symbols, each as a change in percent since its first price of ["from", "to"]; rows without one end a line.
CREATE FUNCTION dashboards.changes(symbols text[], "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    "time" timestamptz, symbol text, change double precision
)
LANGUAGE sql STABLE AS $$
    WITH candle AS (
        SELECT s.symbol, c.bucket, c.bucket + w.width AS stop, lead(c.bucket) OVER same AS next, w.width,
            100 * (c.close / nullif(first_value(c.open) OVER same, 0) - 1) AS change
        FROM dashboards.drawn_width('auto', "from", "to") w(width)
        CROSS JOIN unnest(symbols) s(symbol)
        CROSS JOIN LATERAL public.ohlc(s.symbol, w.width, "from", "to") c(bucket)
        WINDOW same AS (PARTITION BY s.symbol ORDER BY c.bucket)
    )
    SELECT c.bucket, c.symbol, c.change FROM candle c
    UNION ALL
    SELECT c.stop, c.symbol, NULL
    FROM candle c
    JOIN (SELECT s.symbol, t.* FROM unnest(symbols) s(symbol)
        CROSS JOIN LATERAL dashboards.trading_times(s.symbol, "from", "to") t) t ON t.symbol = c.symbol
    WHERE c.width < interval '24 hours' AND c.next > c.stop
        AND dashboards.interrupted(tstzrange(c.stop, c.next), t.open_times, t.down_times, t.zone)
    ORDER BY 1, 2
$$;

-- What a unit of a currency is in US dollars, by the newest price of their pair in the week up to a moment; null without
-- one. Not in SQL, which would plan for pairs where everything is in dollars (TimescaleDB: 30 ms).
CREATE FUNCTION dashboards.dollars(currency text, moment timestamptz) RETURNS double precision
LANGUAGE plpgsql STABLE AS $$
DECLARE
    pence boolean := currency IN ('GBp', 'GBX');
    unit text := CASE WHEN pence THEN 'GBP' ELSE currency END;
    rate double precision;
BEGIN
    IF unit = 'USD' THEN
        RETURN 1;
    END IF;
    SELECT CASE d.symbol WHEN unit || '/USD' THEN d.close ELSE 1 / nullif(d.close, 0) END INTO rate
    FROM public.tick_candles_1d d
    WHERE d.symbol IN (unit || '/USD', 'USD/' || unit) AND d.bucket > moment - interval '7 days' AND d.bucket <= moment
    ORDER BY d.bucket DESC LIMIT 1;
    RETURN rate * CASE WHEN pence THEN 0.01 ELSE 1 END;
END $$;

-- Every symbol's turnover in ["from", "to"] in US dollars, largest first, and its share of the largest in percent. A pair
-- is priced in its second currency, a symbol of New York in dollars unless its company says otherwise.
CREATE FUNCTION dashboards.turnover("from" timestamptz, "to" timestamptz) RETURNS TABLE (
    symbol text, name text, turnover double precision, of_largest double precision, volume double precision, ticks bigint
)
LANGUAGE sql STABLE AS $$
    WITH traded AS (
        SELECT v.*, coalesce(
            nullif(split_part(v.symbol, '/', 2), ''), k.currency,
            (SELECT 'USD' FROM candleworks.calendars c
             WHERE c.name = candleworks.calendar_name(v.symbol) AND c.zone = 'America/New_York')
        ) AS currency
        FROM dashboards.volumes(dashboards.width('auto', extract(epoch FROM "to" - "from") * 1000 / 50), "from", "to") v
        LEFT JOIN public.company k ON k.symbol = v.symbol
    ), rate AS MATERIALIZED (
        SELECT c.currency, dashboards.dollars(c.currency, "to") AS dollars FROM (SELECT DISTINCT t.currency FROM traded t) c
    )
    SELECT t.symbol, t.name, t.turnover * r.dollars,
        100 * t.turnover * r.dollars / nullif(max(t.turnover * r.dollars) OVER (), 0), t.volume, t.ticks
    FROM traded t LEFT JOIN rate r ON r.currency = t.currency
    ORDER BY 3 DESC NULLS LAST, 1
$$;

-- The gaps that overlap ["from", "to") and in which the symbol may miss ticks, or missed them until they were filled, each
-- with what happened. Not those while the market was closed: nothing is missing there.
CREATE FUNCTION dashboards.gap_marks(symbol text, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    started_at timestamptz, ended_at timestamptz, text text, tags text
)
LANGUAGE sql STABLE AS $$
    SELECT g.started_at, coalesce(g.ended_at, now()),
        format('Gap, %s: feed %s was down, %s. %s', s.state, dashboards.html(g.feed), dashboards.html(g.reason),
            dashboards.link('candleworks-health', 'Ingest health', g.started_at, g.ended_at)),
        concat_ws(',', 'gap', s.state)
    FROM candleworks.gaps_of(symbol, "from", "to") g
    LEFT JOIN public.gap_fills f ON f.gap_id = g.id AND f.symbol = gap_marks.symbol
    CROSS JOIN LATERAL (SELECT CASE
        WHEN g.ended_at IS NULL THEN 'open' WHEN g.filled_at IS NOT NULL THEN 'filled' ELSE 'closed, not filled'
    END AS state) s
    WHERE f.outcome IS DISTINCT FROM 'market_closed'
    ORDER BY g.started_at
$$;

-- When alerts about the symbol, or about a feed that streams it, began and ceased in ["from", "to"], newest 200.
CREATE FUNCTION dashboards.alert_marks(symbol text, "from" timestamptz, "to" timestamptz) RETURNS TABLE (
    at timestamptz, began boolean, text text, tags text
)
LANGUAGE sql STABLE AS $$
    SELECT e.at, e.began,
        format('%s of %s %s%s. %s', dashboards.html(a."check"), dashboards.html(a.subject),
            CASE WHEN e.began THEN 'fires' ELSE 'is resolved' END,
            CASE WHEN e.began THEN ': ' || dashboards.html(nullif(concat_ws(', expected ', a.observed, a.expected), '')) END,
            dashboards.link('candleworks-quality', 'Data quality', a.opened_at, a.resolved_at)),
        concat_ws(',', 'alert', a.severity)
    FROM public.alerts a
    CROSS JOIN LATERAL (VALUES (a.opened_at, true), (a.resolved_at, false)) e(at, began)
    WHERE a.opened_at <= "to" AND (a.resolved_at IS NULL OR a.resolved_at >= "from")
        AND e.at BETWEEN "from" AND "to" AND (
            a.subject = alert_marks.symbol
            OR a.subject IN (SELECT 'feed/' || s.feed FROM public.feed_symbols s WHERE s.symbol = alert_marks.symbol)
        )
    ORDER BY e.at DESC LIMIT 200
$$;
SELECT candleworks.set_up_reader();
