"""Prefect's server for `candleworks up`: `python -m flows.support.server PORT`.

Unlike `prefect server start` it stops with its parent, and it responds after 2.7 s instead of 3.7 s, because Prefect's
command line is not imported.
"""

import sys

import uvicorn
from prefect.server.api.server import create_app

from candleworks.processes import stop_with_parent


def main() -> None:
    """Serve on loopback until SIGTERM or SIGINT."""
    stop_with_parent()
    uvicorn.run(
        create_app(final=True),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
