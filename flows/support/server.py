"""Prefect's server for `candleworks up`: `python -m flows.support.server PORT`.

Like `prefect server start`, but it ends together with its parent and answers a second earlier (2.7 s instead of 3.7 s
after the first start), because the command line of Prefect is not loaded.
"""

import sys

import uvicorn
from candleworks.runtime.processes import stop_with_parent
from prefect.server.api.server import create_app


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
