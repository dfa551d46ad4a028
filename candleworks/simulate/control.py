"""The addresses of a running simulator, and the control paths that disturb its clients."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlencode

from candleworks.errors import CandleworksError

FEED_PATH: Final = "/v1/quotes/price"
CONTROL_PREFIX: Final = "/simulator/"
_TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True)
class RunningSimulator:
    host: str
    port: int

    @property
    def feed_url(self) -> str:
        """Without the key, as in CANDLEWORKS_FEED_URL."""
        return f"ws://{self.host}:{self.port}{FEED_PATH}"

    @property
    def rest_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def stats(self) -> dict[str, Any]:
        """Return the counts of SimulatorServer.stats()."""
        return self._control("stats")

    def send(self, text: str, *, repeat: int = 1) -> int:
        """Send this, `repeat` times in one text frame, to every client; return the number of clients."""
        return int(self._control("send", text=text, repeat=str(repeat))["clients"])

    def close_clients(self, code: int = 1001, reason: str = "") -> int:
        """Close every connection with the websocket's closing handshake."""
        return int(self._control("close", code=str(code), reason=reason)["clients"])

    def drop_clients(self) -> int:
        """End every TCP connection without a closing handshake."""
        return int(self._control("drop")["clients"])

    def fail_bars(self, status: int, message: str = "Something went wrong", **options: object) -> None:
        """Respond to the next request for bars, or the next `times`, with an error.

        `in_body` puts it into a response with status 200, `retry_after` adds the header, `symbol` selects requests. A
        status of 200 without `in_body` responds with the message instead of JSON.
        """
        query = {name: str(int(value) if isinstance(value, bool) else value) for name, value in options.items()}
        self._control("fail", status=str(status), message=message, **query)

    def _control(self, name: str, **query: str) -> dict[str, Any]:
        connection = HTTPConnection(self.host, self.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", f"{CONTROL_PREFIX}{name}?{urlencode(query)}")
            response = connection.getresponse()
            body: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise CandleworksError(f"the simulator refused {name} with {query}: {body['message']}")
        return body
