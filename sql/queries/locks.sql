-- Advisory locks in the form with two keys: a class of candleworks.database.locks, and the hash of a name, 0 for none.

-- name: take_lock
SELECT pg_advisory_lock(%(class)s, CASE WHEN %(key)s = '' THEN 0 ELSE hashtext(%(key)s) END)

-- name: try_lock
SELECT pg_try_advisory_lock(%(class)s, CASE WHEN %(key)s = '' THEN 0 ELSE hashtext(%(key)s) END)

-- name: release_lock
SELECT pg_advisory_unlock(%(class)s, CASE WHEN %(key)s = '' THEN 0 ELSE hashtext(%(key)s) END)

-- name: release_granted_lock
-- Without the warning about a lock that this session does not have.
SELECT pg_advisory_unlock(%(class)s, CASE WHEN %(key)s = '' THEN 0 ELSE hashtext(%(key)s) END)
FROM pg_locks l
WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = %(class)s::integer::oid
    AND l.objid = CASE WHEN %(key)s = '' THEN 0 ELSE hashtext(%(key)s) END::oid

-- name: lock_transaction
SELECT pg_advisory_xact_lock(%(class)s, CASE WHEN %(key)s = '' THEN 0 ELSE hashtext(%(key)s) END)

-- name: set_lock_timeout
SELECT set_config('lock_timeout', %(timeout)s, true)

-- name: lock_owner
-- As far as we may see.
SELECT l.pid, concat_ws(', ', nullif(a.application_name, ''), 'from ' || coalesce(host(a.client_addr), 'this machine'),
    'since ' || to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'))
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = %(class)s::integer::oid
    AND l.objid = CASE WHEN %(key)s = '' THEN 0 ELSE hashtext(%(key)s) END::oid
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
LIMIT 1

-- name: locked_keys
SELECT k.key FROM unnest(%(keys)s::text[]) k(key)
WHERE EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = %(class)s::integer::oid
        AND l.objid = hashtext(k.key)::oid
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
)

-- name: end_lock_owner
-- Another user's session, or one without the lock, is left alone.
SELECT pg_terminate_backend(a.pid, 5000)
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = %(class)s::integer::oid
    AND l.objid = hashtext(%(key)s)::oid AND l.pid = %(pid)s AND l.pid <> pg_backend_pid()
    AND a.usename = current_user
