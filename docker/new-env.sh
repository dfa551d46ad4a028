#!/bin/sh
# Writes .env with passwords of its own: `docker/new-env.sh`, once, before the first `docker compose up`. Adds to an older
# .env what a newer version needs; what is there stays.
set -eu
cd "$(dirname "$0")/.."
umask 077
fill() {
    while IFS= read -r line; do
        case "$line" in
            *_PASSWORD=) printf '%s%s\n' "$line" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
}
if [ ! -e .env ]; then
    fill < .env.example > .env
    echo "wrote .env"
    exit
fi
missing=$(grep -E '^[A-Z_]+_PASSWORD=$' .env.example | while IFS= read -r line; do grep -q "^$line" .env || echo "$line"; done)
if [ -z "$missing" ]; then
    echo ".env is there already: remove it first if it is to be made anew (the database keeps its old passwords)." >&2
    exit 1
fi
printf '\n%s\n' "$missing" | fill >> .env
echo "added to .env:" $(printf '%s\n' "$missing" | tr -d =)
