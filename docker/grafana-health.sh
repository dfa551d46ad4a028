#!/bin/sh
# Exits 0 if Grafana answers and its data source reaches the database.
set -eu
address=http://127.0.0.1:${GF_SERVER_HTTP_PORT:-3000}
# Grafana redirects every other host name.
exec wget -q -O /dev/null --header "Host: $GF_SERVER_DOMAIN" --header "X-Candleworks-Health: health-check" \
    "$address/api/datasources/uid/candleworks/health"
