#!/bin/sh
# Writes .env with passwords of its own: `docker/new-env.sh`, once, before the first `docker compose up`.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env is there already: remove it first if it is to be made anew (the database keeps its old passwords)." >&2
    exit 1
fi
umask 077
while IFS= read -r line; do
    case "$line" in
        *_PASSWORD=) printf '%s%s\n' "$line" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
        *) printf '%s\n' "$line" ;;
    esac
done < .env.example > .env
echo "wrote .env"
