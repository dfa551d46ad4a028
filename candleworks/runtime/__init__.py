"""What commands and flows share: a database that is ready, child processes, Prefect and Grafana beside `up`."""
