"""The vendor's REST interface: the key in a header, one time limit, and an error for each kind of refusal.

docs/decisions/0033-vendor-rest-client.md says why the vendor's own package is not used.
"""

import json
from http import HTTPStatus
from typing import Any

import httpx

from candleworks.errors import TerminalError, TransientError, UsageError
from candleworks.settings import VENDOR_REST_URL, Settings

MAX_MESSAGE_CHARACTERS = 300


class KeyRejectedError(TerminalError):
    """The key is wrong: no request can succeed with it."""


class NotServedError(TerminalError):
    """The vendor does not serve this request: the symbol is unknown, or not in the plan."""

    def __init__(self, message: str, vendor_message: str) -> None:
        super().__init__(message)
        self.vendor_message = vendor_message


class NoCreditsLeftError(TransientError):
    """Status 429: the credits of this minute, or of this day, are used up."""

    def __init__(
        self, message: str, vendor_message: str, retry_after_seconds: float | None, *, whole_day: bool
    ) -> None:
        super().__init__(message)
        self.vendor_message = vendor_message
        self.retry_after_seconds = retry_after_seconds
        self.whole_day = whole_day


class VendorAwayError(TransientError):
    """No response, an unreadable one, or a failure on the vendor's side."""


class VendorClient:
    """Sends one request per call, with the key in a header: a URL would be quoted by errors and logs.

    Raises UsageError when the vendor's URL is used without a key.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.api_key is None and settings.rest_url == VENDOR_REST_URL:
            raise UsageError(
                f"{VENDOR_REST_URL} requires a key: set TWELVEDATA_API_KEY, or CANDLEWORKS_REST_URL to the URL that"
                " `candleworks simulate` prints."
            )
        self._url = settings.rest_url.rstrip("/")
        self._key = settings.api_key.get_secret_value() if settings.api_key else "demo"
        self._http = httpx.Client(
            headers={"Authorization": f"apikey {self._key}"},
            timeout=settings.rest.timeout_seconds,
            follow_redirects=True,
        )

    def get(self, path: str, **parameters: str | None) -> Any:
        """Return the decoded body; parameters that are None are left out. Raises the errors of this module."""
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            response = self._http.get(f"{self._url}{path}", params=given)
            body = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # broken JSON is a ValueError
            raise VendorAwayError(
                f"{self._url}{path} gave no readable response ({type(error).__name__}): check the network and"
                " CANDLEWORKS_REST_URL, or try again later."
            ) from None
        code = _refusal_code(response.status_code, body)
        if code is not None:
            self._raise_refusal(code, body, response.headers.get("Retry-After", ""))
        return body

    def _raise_refusal(self, code: int, body: Any, retry_after: str) -> None:
        vendor_message = self._message_of(body)
        if code == HTTPStatus.UNAUTHORIZED:
            raise KeyRejectedError(f"{self._url} rejected the API key ({vendor_message}): correct TWELVEDATA_API_KEY.")
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            raise NoCreditsLeftError(
                f"{self._url} grants no more API credits ({vendor_message}): wait, or set rest.credits_per_minute and"
                " rest.credits_per_day to those of your plan.",
                vendor_message,
                float(retry_after) if retry_after.isdecimal() else None,
                whole_day="for the day" in vendor_message,
            )
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise VendorAwayError(f"{self._url} failed with status {code} ({vendor_message}): try again later.")
        raise NotServedError(
            f"{self._url} refused with status {code} ({vendor_message}): see its documentation.", vendor_message
        )

    def _message_of(self, body: Any) -> str:
        """Return the vendor's message on one line, without the key, shortened when it is long."""
        message = body.get("message") if isinstance(body, dict) else None
        text = message if isinstance(message, str) else json.dumps(body)
        return " ".join(text.replace(self._key, "(key)").split())[:MAX_MESSAGE_CHARACTERS].rstrip(". ")


def _refusal_code(status: int, body: Any) -> int | None:
    """Return the status of an error, which may also be in the body of a response with status 200; None: no error."""
    if status != HTTPStatus.OK:
        return status
    if not isinstance(body, dict) or body.get("status") != "error":
        return None
    code = body.get("code")
    return code if isinstance(code, int) else int(HTTPStatus.INTERNAL_SERVER_ERROR)
