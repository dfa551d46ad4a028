-- name: take_credits
SELECT candleworks.take_credits(%(account)s, %(wanted)s, %(per_minute)s, %(per_day)s)

-- name: pause_credits
SELECT candleworks.pause_credits(%(account)s, %(seconds)s, %(whole_day)s, %(words)s)

-- name: credits_paused
-- Until when the vendor gives none, what it said, and when.
SELECT until, words, said_at FROM candleworks.rest_pauses WHERE account = %(account)s AND until > clock_timestamp()

-- name: lift_credits_pause
DELETE FROM candleworks.rest_pauses WHERE account = %(account)s

-- name: credits_used_today
SELECT coalesce(sum(used), 0)::bigint FROM candleworks.rest_credits
WHERE account = %(account)s AND at >= date_trunc('day', now(), 'UTC')
