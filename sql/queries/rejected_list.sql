-- name: list_rejected
-- Rejected ticks that are not resolved, or all of them, newest first. reason is looked for as a text within reasons.
SELECT id, received_at, feed, reason, payload, kind, number, outcome, replayed_at, resolved_at, corrected, replay_reason
FROM public.rejected_ticks
WHERE (%(everything)s OR resolved_at IS NULL)
    AND (%(feed)s::text IS NULL OR feed = %(feed)s)
    AND (%(reason)s::text IS NULL OR strpos(lower(reason), lower(%(reason)s)) > 0)
    AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
ORDER BY id DESC
LIMIT %(limit)s

-- name: count_rejected
-- Those that are not resolved, by feed.
SELECT feed, count(*) FROM public.rejected_ticks WHERE resolved_at IS NULL GROUP BY feed ORDER BY feed

-- name: read_rejected
SELECT id, received_at, feed, reason, payload, kind, number, outcome, replayed_at, resolved_at, corrected, replay_reason
FROM public.rejected_ticks WHERE id = %(id)s

-- name: lock_rejected
-- Nobody else replays it meanwhile; nothing when it is resolved.
SELECT id FROM public.rejected_ticks WHERE id = %(id)s AND resolved_at IS NULL FOR UPDATE

-- name: lock_all_rejected
SELECT id FROM public.rejected_ticks WHERE id = ANY(%(ids)s) AND resolved_at IS NULL ORDER BY id FOR UPDATE

-- name: note_all_stored
UPDATE public.rejected_ticks q SET
    outcome = 'stored', replay_reason = NULL, corrected = r.corrected, replayed_at = clock_timestamp(),
    resolved_at = clock_timestamp()
FROM unnest(%(ids)s::bigint[], %(corrected)s::text[]) r(id, corrected)
WHERE q.id = r.id

-- name: note_replay
UPDATE public.rejected_ticks SET
    outcome = %(outcome)s, replay_reason = %(reason)s, corrected = %(corrected)s, replayed_at = clock_timestamp(),
    resolved_at = CASE WHEN %(outcome)s <> 'rejected' THEN clock_timestamp() END
WHERE id = %(id)s
