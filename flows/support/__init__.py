"""What carries the flows: the worker, the keeper of feeds, the embedded Prefect server, deployment, events, reports."""
