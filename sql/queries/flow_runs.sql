-- name: save_flow_runs
-- Inserts or updates runs by their ids; what is older than 30 days goes, deployment by deployment: with an index by time
-- alone the newest run of a deployment was looked for there, in 60 ms.
WITH pruned AS (
    DELETE FROM candleworks.flow_runs r USING candleworks.flow_schedules s
    WHERE r.deployment = s.deployment AND r.started_at < now() - interval '30 days'
)
INSERT INTO candleworks.flow_runs AS r (id, deployment, status, started_at, ended_at, message)
SELECT * FROM jsonb_to_recordset(%(runs)s) n(
    id uuid, deployment text, status text, started_at timestamptz, ended_at timestamptz, message text
)
ON CONFLICT (id) DO UPDATE SET status = excluded.status, ended_at = excluded.ended_at, message = excluded.message
WHERE (r.status, r.ended_at, r.message) IS DISTINCT FROM (excluded.status, excluded.ended_at, excluded.message)

-- name: save_flow_schedules
-- Deployments of the pool that are not named are gone.
WITH named AS (
    SELECT * FROM jsonb_to_recordset(%(schedules)s) n(deployment text, paused boolean, next_run_at timestamptz)
), gone AS (
    DELETE FROM candleworks.flow_schedules s
    WHERE s.pool = %(pool)s AND NOT EXISTS (SELECT FROM named n WHERE n.deployment = s.deployment)
)
INSERT INTO candleworks.flow_schedules AS s (deployment, pool, paused, next_run_at)
SELECT n.deployment, %(pool)s, n.paused, n.next_run_at FROM named n
ON CONFLICT (deployment) DO UPDATE
SET pool = excluded.pool, paused = excluded.paused, next_run_at = excluded.next_run_at, reported_at = excluded.reported_at
