"""Prefect's server for `candleworks up` and for containers: `python -m flows.support.server`.

Unlike `prefect server start` it stops with its parent, it responds after 2.7 s instead of 3.7 s, because Prefect's
command line is not imported, and it refuses pages of other origins. Its address is PREFECT_SERVER_API_HOST and
PREFECT_SERVER_API_PORT, its password PREFECT_SERVER_API_AUTH_STRING.
"""

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings

from candleworks.processes import stop_with_parent
from candleworks.web.connections import TimedProtocol
from flows.support.server_access import OwnPagesOnly, served_hosts


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    stop_with_parent()
    settings = get_current_settings()
    server = settings.server
    hosts = served_hosts(settings.api.url, server.ui.api_url)
    uvicorn.run(
        OwnPagesOnly(create_app(final=True), hosts, server.ui.api_url, sign_in=server.api.auth_string is not None),
        host=server.api.host,
        port=server.api.port,
        http=TimedProtocol,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
