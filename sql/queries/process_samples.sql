-- name: save_process_sample
-- What is older than 30 days goes with it.
WITH pruned AS (
    DELETE FROM candleworks.process_samples WHERE feed = %(feed)s AND at < now() - interval '30 days'
)
INSERT INTO candleworks.process_samples (
    feed, host, cpu_percent, memory_bytes, machine_cpu_percent, machine_memory_free_bytes, disk_free_bytes, disk_bytes
) VALUES (
    %(feed)s, %(host)s, %(cpu_percent)s, %(memory_bytes)s, %(machine_cpu_percent)s, %(machine_memory_free_bytes)s,
    %(disk_free_bytes)s, %(disk_bytes)s
)
ON CONFLICT (feed, at) DO NOTHING

-- name: record_sizes
SELECT candleworks.record_sizes()
