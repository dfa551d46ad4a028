-- Little free space on the disk of CANDLEWORKS_HOME, which holds the spool, the logs and the embedded database.
SELECT 'system' AS subject, format('%%s MB free in %%s', d.free_mb, d.path) AS observed,
    format('at least %%s MB', %(min_free_disk_mb)s) AS expected, jsonb_build_array(to_jsonb(d)) AS sample
FROM jsonb_to_record(%(disk)s) d(path text, free_mb bigint, total_mb bigint)
WHERE d.free_mb < %(min_free_disk_mb)s
