-- Who delivers notifications and to whom is decided here, not by the shell that happens to run a check; an alert that a
-- person resolves sends its resolved notification.
-- Locks: alert_events is closed to everybody for the moment in which its column is added; no row is rewritten.

-- pending: a notification is due and has no recipients yet; whoever delivers next gives it those that are registered.
ALTER TABLE public.alert_events ADD COLUMN pending boolean NOT NULL DEFAULT false;
CREATE INDEX alert_events_pending ON public.alert_events (id) WHERE pending;

-- The processes that deliver, by host, home and command, with their recipients, named as in alert_deliveries: without
-- addresses, which are secret. No recipient: the log. runs_until is when a process that still runs has to have been seen
-- again; it is not later than seen_at for one that only ran once.
CREATE TABLE candleworks.alert_deliverers (
    name text PRIMARY KEY,
    recipients text[] NOT NULL,
    seen_at timestamptz NOT NULL,
    runs_until timestamptz NOT NULL
);

-- Resolves an alert by hand: for what no check looks at any more, such as a symbol that was given up. Whoever was notified
-- that it is firing is notified that it is resolved, unless it is silenced. What would be observed now is not known: null.
CREATE OR REPLACE FUNCTION public.resolve_alert(alert bigint, "by" text DEFAULT session_user) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    UPDATE public.alerts a SET status = 'resolved', resolved_at = clock_timestamp() WHERE a.id = alert
    RETURNING * INTO changed;
    INSERT INTO public.alert_events (alert_id, event, at, severity, result, count, expected, note, pending)
    VALUES (
        changed.id, 'resolved', changed.resolved_at, changed.severity, changed.result, changed.count, changed.expected,
        'by ' || "by",
        changed.announced_at IS NOT NULL AND coalesce(changed.muted_until <= changed.resolved_at, true)
    );
    RETURN changed;
END $$;
