-- name: lock_owners
-- The key of the lock is that of lock_feed. The system identifier is the server's own, whatever it is called from where.
SELECT
    (SELECT system_identifier::text FROM pg_control_system()) || '/' || current_database(),
    (
        SELECT coalesce(array_agg(f.feed), '{}') FROM unnest(%(feeds)s::text[]) f(feed)
        WHERE EXISTS (
            SELECT FROM pg_locks l
            WHERE l.locktype = 'advisory' AND l.granted AND l.classid = hashtext('candleworks.feed')::oid
                AND l.objid = hashtext(f.feed)::oid
                AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        )
    )
