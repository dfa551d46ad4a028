"""Names that runs, workers and keepers must agree about."""

STREAM_FLOW = "stream-ticks"
IN_WORKER_TAG = "in-worker"  # runs of such a deployment are executed by the worker itself, without their own process
ALREADY_STREAMING = "AlreadyStreaming"  # the cancelled state of a second run of a feed
REFUSED = "Refused"  # the failed state of a run that cannot succeed before somebody has changed something
WITH_WORKER = "Stopped together with its worker."
LIMIT_REACHED = "Deployment concurrency limit reached."  # Prefect's message where somebody has limited the runs
DATABASE_LABEL = "candleworks.database"
PROCESS_LABEL = "candleworks.process"
DEPLOYED_LABEL = "candleworks.deployed"  # of a deployment: what the files said when it was deployed last
WITH_PARENT = "CANDLEWORKS_STOP_WITH_PARENT"
