#!/bin/sh
# backup.sh once | every | list | restore [FILE]: dumps of the database candleworks in the volume `backups`.
# Runs in the image of the database, with its programs; PGHOST, PGUSER and PGPASSWORD name the server.
set -eu
cd /var/lib/postgresql

run() { # SQL on a database
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$1" --command="$2" >/dev/null
}

once() {
    name=candleworks-$(date -u +%Y%m%dT%H%M%SZ).dump
    rm -f ./*.partial
    # pg_dump warns about circular foreign keys of TimescaleDB's catalog, which do not matter for a whole database.
    pg_dump --format=custom --dbname=candleworks --file="$name.partial"
    sync "$name.partial"
    mv "$name.partial" "$name"
    ls -1 candleworks-*.dump | sort -r | tail -n "+$((BACKUP_KEEP + 1))" | xargs -r rm -f
    echo "wrote $name, $(wc -c < "$name") bytes"
}

# Restores beside the present database, which keeps its data under another name.
restore() {
    file=${1:-$(ls -1 candleworks-*.dump 2>/dev/null | sort | tail -n 1)}
    [ -f "${file:-?}" ] || { echo "no backup ${file:-was written yet}: see \`backup list\`" >&2; exit 1; }
    before=candleworks_before_$(date -u +%Y%m%dT%H%M%SZ)
    run postgres "DROP DATABASE IF EXISTS candleworks_restored WITH (FORCE)"
    run postgres "CREATE DATABASE candleworks_restored OWNER candleworks TEMPLATE template0"
    run postgres "DO \$\$ BEGIN CREATE ROLE candleworks_reader; EXCEPTION WHEN duplicate_object THEN END \$\$"
    run candleworks_restored "CREATE EXTENSION timescaledb"
    run candleworks_restored "SELECT timescaledb_pre_restore()"
    pg_restore --exit-on-error --dbname=candleworks_restored "$file"
    run candleworks_restored "SELECT timescaledb_post_restore()"
    for name in candleworks candleworks_restored; do
        run postgres "ALTER DATABASE $name ALLOW_CONNECTIONS false"
        run postgres "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '$name'"
    done
    run postgres "ALTER DATABASE candleworks RENAME TO \"$before\""
    run postgres "ALTER DATABASE candleworks_restored RENAME TO candleworks"
    run postgres "ALTER DATABASE candleworks ALLOW_CONNECTIONS true"
    echo "restored $file; the database it replaces is $before"
}

case "${1:-every}" in
    once) once ;;
    every)
        while true; do
            once
            sleep "$((BACKUP_HOURS * 3600))" &
            wait "$!"
        done
        ;;
    list) ls -l ./*.dump ;;
    restore) restore "${2:-}" ;;
    *)
        echo "unknown command $1: choose one of once, every, list, restore" >&2
        exit 2
        ;;
esac
