"""How the vendor's package reaches the vendor: the key in a header, one time limit, and errors that can be told apart.

The package's own client writes the key into the address, which its exceptions quote; it loses the status of refusals,
asks for a list of indicators before anything else, and waits 30 s for each part of an answer.
"""

import json
from http import HTTPStatus
from typing import Any

from twelvedata import TDClient
from twelvedata.http_client import DefaultHttpClient

from candleworks.errors import TerminalError, TransientError, UsageError
from candleworks.settings import VENDOR_REST_URL, Settings

LONGEST_QUOTE = 300


class KeyRefusedError(TerminalError):
    """The key is wrong; no request can succeed with it."""


class NotServedError(TerminalError):
    """The vendor does not answer this request: the symbol is unknown, or not in the plan.

    `words` is what it said.
    """

    def __init__(self, message: str, words: str) -> None:
        super().__init__(message)
        self.words = words


class NoCreditsLeftError(TransientError):
    """Status 429: too many requests in this minute, or for this day; `words` is what the vendor said."""

    def __init__(self, message: str, words: str, retry_after_seconds: float | None, *, whole_day: bool) -> None:
        super().__init__(message)
        self.words = words
        self.retry_after_seconds = retry_after_seconds
        self.whole_day = whole_day


class VendorAwayError(TransientError):
    """No answer, a broken one, or a failure on the vendor's side."""


def vendor_client(settings: Settings) -> Any:
    """Return a TDClient; nothing is asked yet. UsageError when the vendor would miss a key."""
    if settings.api_key is None and settings.rest_url == VENDOR_REST_URL:
        raise UsageError(
            f"{VENDOR_REST_URL} wants a key: set TWELVEDATA_API_KEY, or CANDLEWORKS_REST_URL to the address that"
            " `candleworks simulate` prints."
        )
    key = settings.api_key.get_secret_value() if settings.api_key else "demo"
    http = _Http(settings.rest_url.rstrip("/"), key, settings.rest.timeout_seconds)
    return TDClient("", http_client=http, base_url=settings.rest_url)


class _Http(DefaultHttpClient):  # type: ignore[misc] # the package has no types
    def __init__(self, base_url: str, key: str, timeout_seconds: int) -> None:
        super().__init__(base_url)
        self._key = key
        self._timeout_seconds = timeout_seconds
        self.session.headers["Authorization"] = f"apikey {key}"

    def get(self, relative_url: str, *_: Any, **options: Any) -> Any:
        """Ask once; raises the errors of this module."""
        if relative_url == "/technical_indicators":  # asked by TDClient's constructor; indicators are not used here
            return _NoIndicators()
        params = {name: value for name, value in options.get("params", {}).items() if name != "apikey"}
        try:
            answer = self.session.get(
                f"{self.base_url}{relative_url}", params=params | {"source": "python"}, timeout=self._timeout_seconds
            )
            body = answer.json()
        except (OSError, ValueError) as error:  # requests' own errors are OSErrors, broken JSON is a ValueError
            raise VendorAwayError(
                f"{self.base_url}{relative_url} gave no readable answer ({type(error).__name__}): check the network and"
                " CANDLEWORKS_REST_URL, or try again later."
            ) from None
        code = _refusal_code(answer.status_code, body)
        if code is not None:
            self._refuse(code, body, answer.headers.get("Retry-After", ""))
        return answer

    def _refuse(self, code: int, body: Any, retry_after: str) -> None:
        words = self._words(body)
        if code == HTTPStatus.UNAUTHORIZED:
            raise KeyRefusedError(f"{self.base_url} refused the API key ({words}): correct TWELVEDATA_API_KEY.")
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            raise NoCreditsLeftError(
                f"{self.base_url} gives no more API credits ({words}): wait, or set rest.credits_per_minute and"
                " rest.credits_per_day to those of your plan.",
                words,
                float(retry_after) if retry_after.isdecimal() else None,
                whole_day="for the day" in words,
            )
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise VendorAwayError(f"{self.base_url} failed with status {code} ({words}): try again later.")
        raise NotServedError(f"{self.base_url} refused with status {code} ({words}): see its documentation.", words)

    def _words(self, body: Any) -> str:
        """Take the vendor's sentence on one line, without the key and of bearable length."""
        message = body.get("message") if isinstance(body, dict) else None
        text = message if isinstance(message, str) else json.dumps(body)
        return " ".join(text.replace(self._key, "(key)").split())[:LONGEST_QUOTE].rstrip(". ")


class _NoIndicators:
    @staticmethod
    def json() -> dict[str, Any]:
        return {"data": {}}


def _refusal_code(status: int, body: Any) -> int | None:
    """Return the status of a refusal, which may also stand in the body of an answer with 200."""
    if status != HTTPStatus.OK:
        return status
    if not isinstance(body, dict) or body.get("status") != "error":
        return None
    code = body.get("code")
    return code if isinstance(code, int) else int(HTTPStatus.INTERNAL_SERVER_ERROR)
