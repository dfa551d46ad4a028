-- Alerts that checks raise, from firing to resolved, and the notifications about them.
-- Locks: none, everything is new.

CREATE TABLE public.alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "check" text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'resolved')),
    result text NOT NULL DEFAULT 'failed' CHECK (result IN ('failed', 'error')),
    opened_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    count bigint NOT NULL DEFAULT 1 CHECK (count > 0),
    observed text,
    expected text,
    escalated_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    silenced_until timestamptz,
    silence_reason text,
    resolved_at timestamptz,
    notified_at timestamptz,
    checked_at timestamptz NOT NULL,
    passes integer NOT NULL DEFAULT 0,
    CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
);
CREATE UNIQUE INDEX alerts_unresolved ON public.alerts ("check", subject) WHERE resolved_at IS NULL;
CREATE INDEX alerts_opened_at ON public.alerts (opened_at);
-- A silence outlives its alert: the next one of the same check and subject looks here.
CREATE INDEX alerts_silenced ON public.alerts ("check", subject, silenced_until) WHERE silenced_until IS NOT NULL;
COMMENT ON TABLE public.alerts IS 'Alerts that checks raised; at most one that is not resolved per check and subject.';
COMMENT ON COLUMN public.alerts.result IS
    'failed: the check failed; error: the check itself had an error, so that nothing is known.';
COMMENT ON COLUMN public.alerts.last_seen_at IS 'Time of the newest failure.';
COMMENT ON COLUMN public.alerts.count IS 'Number of failures.';
COMMENT ON COLUMN public.alerts.observed IS 'At the newest failure. Null: the check does not say.';
COMMENT ON COLUMN public.alerts.expected IS 'Null: the check does not say.';
COMMENT ON COLUMN public.alerts.escalated_at IS 'Null: not escalated.';
COMMENT ON COLUMN public.alerts.acknowledged_at IS 'Null: not acknowledged.';
COMMENT ON COLUMN public.alerts.acknowledged_by IS 'Null: not acknowledged.';
COMMENT ON COLUMN public.alerts.silenced_until IS 'Nothing is sent before this time. Null: never silenced.';
COMMENT ON COLUMN public.alerts.silence_reason IS 'Null: never silenced, or no reason was given.';
COMMENT ON COLUMN public.alerts.resolved_at IS 'Null: not resolved.';
COMMENT ON COLUMN public.alerts.notified_at IS
    'When a notification that the alert fires was due. Null: it was silenced or inhibited from the start.';
COMMENT ON COLUMN public.alerts.checked_at IS 'Time of the newest result, of any kind.';
COMMENT ON COLUMN public.alerts.passes IS 'Results in a row that passed since the newest failure.';

CREATE TABLE public.alert_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES public.alerts ON DELETE CASCADE,
    event text NOT NULL CHECK (event IN ('opened', 'escalated', 'acknowledged', 'silenced', 'unsilenced', 'resolved')),
    at timestamptz NOT NULL,
    severity text NOT NULL,
    result text NOT NULL,
    count bigint NOT NULL,
    observed text,
    expected text,
    note text,
    pending boolean NOT NULL DEFAULT false
);
CREATE INDEX alert_events_alert_id ON public.alert_events (alert_id);
CREATE INDEX alert_events_pending ON public.alert_events (id) WHERE pending;
COMMENT ON TABLE public.alert_events IS 'What happened to an alert, with what was known at that time.';
COMMENT ON COLUMN public.alert_events.observed IS 'Null: the check does not say, or a person resolved the alert.';
COMMENT ON COLUMN public.alert_events.expected IS 'Null: the check does not say.';
COMMENT ON COLUMN public.alert_events.note IS 'Who did it, or until when and why. Null: a check did it.';
COMMENT ON COLUMN public.alert_events.pending IS
    'Whether a notification is due that has no recipients yet; the next process that delivers adds those that are'
    ' registered.';

CREATE TABLE public.alert_deliveries (
    event_id bigint NOT NULL REFERENCES public.alert_events ON DELETE CASCADE,
    recipient text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    sending_since timestamptz,
    sent_at timestamptz,
    possible_repeat boolean NOT NULL DEFAULT false,
    reason text,
    PRIMARY KEY (event_id, recipient),
    CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX alert_deliveries_unsent ON public.alert_deliveries (recipient, next_attempt_at) WHERE state <> 'sent';
COMMENT ON TABLE public.alert_deliveries IS
    'The outbox of notifications: one row per event and recipient, written with the event.';
COMMENT ON COLUMN public.alert_deliveries.recipient IS 'Address of the recipient without its secrets; log for none.';
COMMENT ON COLUMN public.alert_deliveries.state IS
    'waiting, sending (written before the notification leaves) or sent. One that is sending without a sender was cut'
    ' off: it is sent once more.';
COMMENT ON COLUMN public.alert_deliveries.sending_since IS 'Null: never tried.';
COMMENT ON COLUMN public.alert_deliveries.sent_at IS 'Null: not sent.';
COMMENT ON COLUMN public.alert_deliveries.possible_repeat IS 'Whether an earlier attempt may have arrived.';
COMMENT ON COLUMN public.alert_deliveries.reason IS 'Why the last attempt failed. Null: it did not.';

-- The processes that deliver, by host, home and command, with their recipients, named as in alert_deliveries: without
-- addresses, which are secret. No recipient: the log. runs_until is when a process that still runs has to have been seen
-- again; it is not later than seen_at for one that only ran once.
CREATE TABLE candleworks.alert_deliverers (
    name text PRIMARY KEY,
    recipients text[] NOT NULL,
    seen_at timestamptz NOT NULL,
    runs_until timestamptz NOT NULL
);

-- Notes an event with the alert's present state.
CREATE FUNCTION candleworks.record_alert_event(alert public.alerts, event text, note text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO public.alert_events (alert_id, event, at, severity, result, count, observed, expected, note)
    VALUES (
        (alert).id, event, clock_timestamp(), (alert).severity, (alert).result, (alert).count, (alert).observed,
        (alert).expected, note
    )
$$;

CREATE FUNCTION candleworks.require_unresolved(alert bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.alerts a WHERE a.id = alert AND a.resolved_at IS NULL FOR UPDATE) THEN
        RAISE EXCEPTION 'There is no unresolved alert %: choose one from SELECT id, "check", subject FROM alerts WHERE resolved_at IS NULL.', alert
            USING ERRCODE = 'no_data_found';
    END IF;
END $$;

CREATE FUNCTION public.acknowledge_alert(alert bigint, "by" text DEFAULT session_user) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    UPDATE public.alerts a
    SET status = 'acknowledged', acknowledged_at = clock_timestamp(), acknowledged_by = "by"
    WHERE a.id = alert RETURNING * INTO changed;
    PERFORM candleworks.record_alert_event(changed, 'acknowledged', 'by ' || "by");
    RETURN changed;
END $$;
COMMENT ON FUNCTION public.acknowledge_alert IS
    'Says that somebody looks after the alert: it no longer escalates. A notification is still sent when it is'
    ' resolved.';

CREATE FUNCTION public.silence_alert(alert bigint, "until" timestamptz, reason text) RETURNS public.alerts
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
    PERFORM candleworks.record_alert_event(changed, 'silenced', format('until %s: %s', "until", reason));
    RETURN changed;
END $$;
COMMENT ON FUNCTION public.silence_alert IS
    'Sends nothing about the alert, nor about the next ones of its check and subject, until the given time.';

CREATE FUNCTION public.unsilence_alert(alert bigint) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    UPDATE public.alerts a SET silenced_until = NULL, silence_reason = NULL WHERE a.id = alert RETURNING * INTO changed;
    PERFORM candleworks.record_alert_event(changed, 'unsilenced', NULL);
    RETURN changed;
END $$;
COMMENT ON FUNCTION public.unsilence_alert IS 'Ends the silence of an alert.';

CREATE FUNCTION public.resolve_alert(alert bigint, "by" text DEFAULT session_user) RETURNS public.alerts
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
        changed.notified_at IS NOT NULL AND coalesce(changed.silenced_until <= changed.resolved_at, true)
    );
    RETURN changed;
END $$;
COMMENT ON FUNCTION public.resolve_alert IS
    'Resolves an alert by hand: for what no check looks at any more, such as a symbol that was given up. Whoever was'
    ' notified that it fires is notified that it is resolved, unless it is silenced.';
