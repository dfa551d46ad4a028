#!/bin/sh
# Prints where everything is, in one line.
echo "candleworks is running: charts http://$WEB_ADDRESS/," \
    "Grafana ${GRAFANA_URL:-http://$GRAFANA_ADDRESS/} (user admin, GRAFANA_ADMIN_PASSWORD in .env)," \
    "Prefect http://$PREFECT_ADDRESS/ (password candleworks:PREFECT_PASSWORD)," \
    "database $DATABASE_ADDRESS"
