-- name: save_flow_runs
-- Inserts or updates runs by their ids; what is older than 30 days goes.
WITH pruned AS (
    DELETE FROM candleworks.flow_runs WHERE started_at < now() - interval '30 days'
)
INSERT INTO candleworks.flow_runs AS r (id, deployment, status, started_at, ended_at, message)
SELECT * FROM jsonb_to_recordset(%(runs)s) n(
    id uuid, deployment text, status text, started_at timestamptz, ended_at timestamptz, message text
)
ON CONFLICT (id) DO UPDATE SET status = excluded.status, ended_at = excluded.ended_at, message = excluded.message
WHERE (r.status, r.ended_at, r.message) IS DISTINCT FROM (excluded.status, excluded.ended_at, excluded.message)

-- name: save_flow_schedules
-- Deployments that are not named are gone.
WITH named AS (
    SELECT * FROM jsonb_to_recordset(%(schedules)s) n(deployment text, paused boolean, next_run_at timestamptz)
), gone AS (
    DELETE FROM candleworks.flow_schedules s WHERE NOT EXISTS (SELECT FROM named n WHERE n.deployment = s.deployment)
)
INSERT INTO candleworks.flow_schedules AS s (deployment, paused, next_run_at)
SELECT n.deployment, n.paused, n.next_run_at FROM named n
ON CONFLICT (deployment) DO UPDATE
SET paused = excluded.paused, next_run_at = excluded.next_run_at, reported_at = excluded.reported_at
