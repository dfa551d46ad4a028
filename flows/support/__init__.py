"""What flows share: the worker, restarts, deployment, run states and artifacts."""
