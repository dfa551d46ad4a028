-- name: lock_alerts
-- One process at a time decides about alerts; it takes milliseconds.
SELECT pg_advisory_xact_lock(hashtext('candleworks.alerts'))

-- name: unresolved_alerts
-- Those of the given checks and subjects, kept from being acknowledged or muted meanwhile.
SELECT a.*
FROM public.alerts a
JOIN unnest(%(checks)s::text[], %(subjects)s::text[]) w("check", subject) USING ("check", subject)
WHERE a.resolved_at IS NULL
FOR UPDATE OF a

-- name: lasting_mutes
-- Mutes of earlier alerts that last beyond the given moment.
SELECT DISTINCT ON (a."check", a.subject) a."check", a.subject, a.muted_until, a.mute_reason
FROM public.alerts a
JOIN unnest(%(checks)s::text[], %(subjects)s::text[]) w("check", subject) USING ("check", subject)
WHERE a.muted_until > %(moment)s
ORDER BY a."check", a.subject, a.opened_at DESC

-- name: insert_alert
INSERT INTO public.alerts (
    "check", subject, severity, status, result, opened_at, last_seen_at, count, observed, expected, escalated_at,
    acknowledged_at, acknowledged_by, muted_until, mute_reason, resolved_at, announced_at, checked_at, passes
) VALUES (
    %(check)s, %(subject)s, %(severity)s, %(status)s, %(result)s, %(opened_at)s, %(last_seen_at)s, %(count)s,
    %(observed)s, %(expected)s, %(escalated_at)s, %(acknowledged_at)s, %(acknowledged_by)s, %(muted_until)s,
    %(mute_reason)s, %(resolved_at)s, %(announced_at)s, %(checked_at)s, %(passes)s
)
RETURNING id

-- name: update_alert
UPDATE public.alerts SET
    severity = %(severity)s, status = %(status)s, result = %(result)s, last_seen_at = %(last_seen_at)s,
    count = %(count)s, observed = %(observed)s, expected = %(expected)s, escalated_at = %(escalated_at)s,
    resolved_at = %(resolved_at)s, announced_at = %(announced_at)s, checked_at = %(checked_at)s, passes = %(passes)s
WHERE id = %(id)s

-- name: insert_alert_event
INSERT INTO public.alert_events (alert_id, event, at, severity, result, count, observed, expected)
VALUES (%(alert_id)s, %(event)s, %(at)s, %(severity)s, %(result)s, %(count)s, %(observed)s, %(expected)s)
RETURNING id

-- name: insert_alert_deliveries
INSERT INTO public.alert_deliveries (event_id, destination)
SELECT %(event_id)s, destination FROM unnest(%(destinations)s::text[]) destination
