#!/bin/sh
# Without a key of the vendor, the simulated feed takes its place where one is named.
set -eu
if [ -z "${TWELVEDATA_API_KEY:-}" ] && [ -n "${CANDLEWORKS_SIMULATOR:-}" ]; then
    export CANDLEWORKS_FEED_URL="ws://$CANDLEWORKS_SIMULATOR/v1/quotes/price"
    export CANDLEWORKS_REST_URL="http://$CANDLEWORKS_SIMULATOR"
    export CANDLEWORKS_SIMULATED=true
fi
exec "$@"
