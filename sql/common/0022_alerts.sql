-- Alerts: trouble that a check found, from its opening to its end, and the messages about it.
-- Locks: none, everything is new.

-- One row per trouble; at most one that is not resolved per check and subject. result tells whether the check failed or
-- broke itself. last_seen_at is the newest failure, checked_at the newest result of any kind; passes are those in a row
-- since. announced_at is when a message about the opening was due: null while the alert was muted from the start.
-- Nothing is sent while muted_until lies ahead.
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
    muted_until timestamptz,
    mute_reason text,
    resolved_at timestamptz,
    announced_at timestamptz,
    checked_at timestamptz NOT NULL,
    passes integer NOT NULL DEFAULT 0,
    CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
);
CREATE UNIQUE INDEX alerts_unresolved ON public.alerts ("check", subject) WHERE resolved_at IS NULL;
CREATE INDEX alerts_opened_at ON public.alerts (opened_at);
-- A mute outlives its alert: the next one of the same check and subject looks here.
CREATE INDEX alerts_muted ON public.alerts ("check", subject, muted_until) WHERE muted_until IS NOT NULL;

-- What happened to an alert, with what was known at that moment.
CREATE TABLE public.alert_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES public.alerts ON DELETE CASCADE,
    event text NOT NULL CHECK (event IN ('opened', 'escalated', 'acknowledged', 'muted', 'unmuted', 'resolved')),
    at timestamptz NOT NULL,
    severity text NOT NULL,
    result text NOT NULL,
    count bigint NOT NULL,
    observed text,
    expected text,
    note text
);
CREATE INDEX alert_events_alert_id ON public.alert_events (alert_id);

-- The outbox: one row per event and destination, written with the event. sending is written before a message leaves;
-- what is found in that state without a sender was cut off between sending and noting it, so it goes out once more with
-- possible_repeat. destination names an address without its secrets; 'log' stands for none.
CREATE TABLE public.alert_deliveries (
    event_id bigint NOT NULL REFERENCES public.alert_events ON DELETE CASCADE,
    destination text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    sending_since timestamptz,
    sent_at timestamptz,
    possible_repeat boolean NOT NULL DEFAULT false,
    reason text,
    PRIMARY KEY (event_id, destination),
    CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX alert_deliveries_unsent ON public.alert_deliveries (destination, next_attempt_at) WHERE state <> 'sent';

-- Notes an event with the alert's present state.
CREATE FUNCTION candleworks.note_alert_event(alert public.alerts, event text, note text) RETURNS void
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
        RAISE EXCEPTION 'There is no unresolved alert %: choose one of SELECT id, "check", subject FROM alerts WHERE resolved_at IS NULL.', alert
            USING ERRCODE = 'no_data_found';
    END IF;
END $$;

-- Somebody looks after the alert: it no longer escalates. Its end is still told.
CREATE FUNCTION public.acknowledge_alert(alert bigint, "by" text DEFAULT session_user) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    UPDATE public.alerts a
    SET status = 'acknowledged', acknowledged_at = clock_timestamp(), acknowledged_by = "by"
    WHERE a.id = alert RETURNING * INTO changed;
    PERFORM candleworks.note_alert_event(changed, 'acknowledged', 'by ' || "by");
    RETURN changed;
END $$;

-- Nothing is sent about the alert, nor about the next ones of its check and subject, until that moment.
CREATE FUNCTION public.mute_alert(alert bigint, "until" timestamptz, reason text) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    IF "until" <= clock_timestamp() THEN
        RAISE EXCEPTION 'An alert cannot be muted until %, which is past: give a later moment.', "until"
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE public.alerts a SET muted_until = "until", mute_reason = reason WHERE a.id = alert RETURNING * INTO changed;
    PERFORM candleworks.note_alert_event(changed, 'muted', format('until %s: %s', "until", reason));
    RETURN changed;
END $$;

CREATE FUNCTION public.unmute_alert(alert bigint) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    UPDATE public.alerts a SET muted_until = NULL, mute_reason = NULL WHERE a.id = alert RETURNING * INTO changed;
    PERFORM candleworks.note_alert_event(changed, 'unmuted', NULL);
    RETURN changed;
END $$;

-- Ends an alert by hand, without a message: for what no check looks at any more, such as a symbol that was given up.
CREATE FUNCTION public.resolve_alert(alert bigint, "by" text DEFAULT session_user) RETURNS public.alerts
LANGUAGE plpgsql AS $$
DECLARE
    changed public.alerts;
BEGIN
    PERFORM candleworks.require_unresolved(alert);
    UPDATE public.alerts a SET status = 'resolved', resolved_at = clock_timestamp() WHERE a.id = alert
    RETURNING * INTO changed;
    PERFORM candleworks.note_alert_event(changed, 'resolved', 'by ' || "by");
    RETURN changed;
END $$;
