-- name: register_deliverer
-- Written when something is new, and every quarter of a minute otherwise.
INSERT INTO candleworks.alert_deliverers AS d (name, recipients, seen_at, runs_until)
VALUES (%(name)s, %(recipients)s, now(), now() + %(runs_for)s)
ON CONFLICT (name) DO UPDATE
SET recipients = excluded.recipients, seen_at = excluded.seen_at, runs_until = excluded.runs_until
WHERE d.recipients <> excluded.recipients OR d.seen_at < now() - interval '15 seconds' OR d.runs_until < now()

-- name: deliverer_stopped
UPDATE candleworks.alert_deliverers SET runs_until = now() WHERE name = %(name)s

-- name: list_deliverers
SELECT name, recipients, seen_at, runs_until > now() AS running, seen_at > now() - interval '1 day' AS current
FROM candleworks.alert_deliverers ORDER BY name

-- name: distribute_notifications
WITH due AS (
    UPDATE public.alert_events SET pending = false WHERE pending RETURNING id
)
INSERT INTO public.alert_deliveries (event_id, recipient)
SELECT due.id, recipient FROM due CROSS JOIN unnest(%(recipients)s::text[]) recipient

-- name: count_pending
-- Alerts about which a notification has no recipients yet.
SELECT count(DISTINCT e.alert_id) FROM public.alert_events e WHERE e.pending

-- name: remove_recipient
-- With what waits for it.
WITH removed AS (
    UPDATE candleworks.alert_deliverers SET recipients = array_remove(recipients, %(recipient)s)
    WHERE %(recipient)s = ANY(recipients) RETURNING name
), dropped AS (
    DELETE FROM public.alert_deliveries WHERE recipient = %(recipient)s AND state <> 'sent' RETURNING event_id
)
SELECT (SELECT count(*) FROM removed) AS deliverers, (SELECT count(*) FROM dropped) AS notifications

-- name: was_notified
SELECT EXISTS (SELECT FROM public.alert_deliveries WHERE recipient = %(recipient)s AND state = 'sent')
