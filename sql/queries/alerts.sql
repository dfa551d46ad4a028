-- name: unresolved_alerts
-- Those of the given checks and subjects, locked against being acknowledged or silenced meanwhile.
SELECT a.*
FROM public.alerts a
JOIN unnest(%(checks)s::text[], %(subjects)s::text[]) w("check", subject) USING ("check", subject)
WHERE a.resolved_at IS NULL
FOR UPDATE OF a

-- name: lasting_silences
-- Silences of earlier alerts that last beyond the given time.
SELECT DISTINCT ON (a."check", a.subject) a."check", a.subject, a.silenced_until, a.silence_reason
FROM public.alerts a
JOIN unnest(%(checks)s::text[], %(subjects)s::text[]) w("check", subject) USING ("check", subject)
WHERE a.silenced_until > %(at)s
ORDER BY a."check", a.subject, a.opened_at DESC

-- name: inhibiting_alerts
-- Alerts of the given checks that fire, or were resolved within the grace period, and were notified or are silenced. One
-- that was not evaluated for a day belongs to a check that no longer runs.
SELECT a."check", a.subject FROM public.alerts a
WHERE (a.resolved_at IS NULL OR a.resolved_at > %(at)s::timestamptz - %(grace_period)s)
    AND a."check" = ANY(%(checks)s) AND a.checked_at > %(at)s::timestamptz - interval '1 day'
    AND (a.notified_at IS NOT NULL OR a.silenced_until > %(at)s)

-- name: feeds_of_symbols
SELECT s.symbol, array_agg(s.feed ORDER BY s.feed) FROM public.feed_symbols s WHERE s.status <> 'removed' GROUP BY s.symbol

-- name: insert_alert
INSERT INTO public.alerts (
    "check", subject, severity, status, result, opened_at, last_seen_at, count, observed, expected, escalated_at,
    acknowledged_at, acknowledged_by, silenced_until, silence_reason, resolved_at, notified_at, checked_at, passes
) VALUES (
    %(check)s, %(subject)s, %(severity)s, %(status)s, %(result)s, %(opened_at)s, %(last_seen_at)s, %(count)s,
    %(observed)s, %(expected)s, %(escalated_at)s, %(acknowledged_at)s, %(acknowledged_by)s, %(silenced_until)s,
    %(silence_reason)s, %(resolved_at)s, %(notified_at)s, %(checked_at)s, %(passes)s
)
RETURNING id

-- name: update_alert
UPDATE public.alerts SET
    severity = %(severity)s, status = %(status)s, result = %(result)s, last_seen_at = %(last_seen_at)s,
    count = %(count)s, observed = %(observed)s, expected = %(expected)s, escalated_at = %(escalated_at)s,
    resolved_at = %(resolved_at)s, notified_at = %(notified_at)s, checked_at = %(checked_at)s, passes = %(passes)s
WHERE id = %(id)s

-- name: insert_alert_event
INSERT INTO public.alert_events (alert_id, event, at, severity, result, count, observed, expected, note, pending)
VALUES (
    %(alert_id)s, %(event)s, %(at)s, %(severity)s, %(result)s, %(count)s, %(observed)s, %(expected)s, %(note)s,
    %(pending)s
)
RETURNING id

-- name: recover_deliveries
-- Whoever has the lock of the recipient is not sending yet: a delivery in that state was interrupted when its sender ended.
UPDATE public.alert_deliveries
SET state = 'waiting', possible_repeat = true, reason = 'sending was interrupted', next_attempt_at = now()
WHERE recipient = %(recipient)s AND state = 'sending'

-- name: claim_deliveries
-- Everything that waits for a recipient becomes one message, unless an attempt failed and the next one is not due yet.
-- What was silenced meanwhile waits until the silence ends.
WITH due AS (
    SELECT d.event_id
    FROM public.alert_deliveries d
    JOIN public.alert_events e ON e.id = d.event_id
    JOIN public.alerts a ON a.id = e.alert_id
    WHERE d.recipient = %(recipient)s AND d.state = 'waiting'
        AND (a.silenced_until IS NULL OR a.silenced_until <= now())
        AND NOT EXISTS (
            SELECT FROM public.alert_deliveries b
            WHERE b.recipient = %(recipient)s AND b.state = 'waiting' AND b.next_attempt_at > now()
        )
    ORDER BY d.event_id LIMIT 1000
    FOR UPDATE OF d SKIP LOCKED
), claimed AS (
    UPDATE public.alert_deliveries d
    SET state = 'sending', sending_since = clock_timestamp(), attempts = d.attempts + 1
    FROM due WHERE d.event_id = due.event_id AND d.recipient = %(recipient)s
    RETURNING d.event_id, d.attempts, d.possible_repeat
)
SELECT a.id, a."check", a.subject, e.severity, e.result, e.count, e.observed, e.expected, a.opened_at, a.last_seen_at,
    a.checked_at, e.event, e.at, e.note, c.event_id, c.attempts, c.possible_repeat
FROM claimed c
JOIN public.alert_events e ON e.id = c.event_id
JOIN public.alerts a ON a.id = e.alert_id
ORDER BY c.event_id

-- name: save_sent
UPDATE public.alert_deliveries SET state = 'sent', sent_at = clock_timestamp(), reason = NULL
WHERE recipient = %(recipient)s AND event_id = ANY(%(events)s) AND state = 'sending'

-- name: save_unsent
UPDATE public.alert_deliveries
SET state = 'waiting', next_attempt_at = now() + %(wait)s, reason = %(reason)s,
    possible_repeat = possible_repeat OR %(maybe_arrived)s
WHERE recipient = %(recipient)s AND event_id = ANY(%(events)s) AND state = 'sending'

-- name: list_alerts
-- Unresolved ones first, then those that were resolved last; unsent counts deliveries that were not sent yet, and events
-- that have no recipients yet.
SELECT a.*, coalesce(o.unsent, 0) AS unsent
FROM public.alerts a
LEFT JOIN LATERAL (
    SELECT count(*) AS unsent
    FROM public.alert_events e LEFT JOIN public.alert_deliveries d ON d.event_id = e.id
    WHERE e.alert_id = a.id AND (e.pending OR d.state <> 'sent')
) o ON true
WHERE a.resolved_at IS NULL OR %(resolved_since)s::timestamptz <= a.resolved_at
ORDER BY a.resolved_at DESC NULLS FIRST, a.opened_at DESC
LIMIT %(limit)s

-- name: alerts_of_check
SELECT * FROM public.alerts WHERE "check" = %(check)s ORDER BY resolved_at DESC NULLS FIRST, opened_at DESC LIMIT 50

-- name: read_alert
SELECT * FROM public.alerts WHERE id = %(id)s

-- name: alert_history
SELECT event, at, count, observed, note FROM public.alert_events WHERE alert_id = %(id)s ORDER BY id

-- name: alert_notifications
SELECT e.event, d.recipient, d.state, d.attempts, d.sent_at, d.next_attempt_at, d.possible_repeat, d.reason
FROM public.alert_events e JOIN public.alert_deliveries d ON d.event_id = e.id
WHERE e.alert_id = %(id)s
ORDER BY e.id, d.recipient

-- name: count_unsent
-- Notifications that were not sent yet, by recipient.
SELECT recipient, count(*) AS notifications, min(reason) AS reason
FROM public.alert_deliveries WHERE state <> 'sent' GROUP BY recipient ORDER BY recipient

-- name: save_delivery
-- A delivery that was made, or tried, while the database was not available.
INSERT INTO public.alert_deliveries (
    event_id, recipient, state, attempts, next_attempt_at, sent_at, possible_repeat, reason
) VALUES (
    %(event_id)s, %(recipient)s, %(state)s, %(attempts)s, %(next_attempt_at)s, %(sent_at)s, %(possible_repeat)s,
    %(reason)s
)

-- name: may_change_alerts
-- Whether this role may do what acknowledge_alert(), silence_alert() and unsilence_alert() do; on a standby nobody may.
SELECT NOT pg_is_in_recovery() AND has_table_privilege('public.alerts', 'SELECT')
    AND has_table_privilege('public.alerts', 'UPDATE') AND has_table_privilege('public.alert_events', 'INSERT')
