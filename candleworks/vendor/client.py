"""The vendor's REST interface: the key in a header, one time limit, and an error for each kind of refusal.

docs/decisions/0033-vendor-rest-client.md says why the vendor's own package is not used.
"""

import json
from http import HTTPStatus
from typing import Any

import httpx

from candleworks.errors import TerminalError, TransientError, UsageError
from candleworks.settings import VENDOR_REST_URL, Settings

LONGEST_QUOTE = 300


class KeyRejectedError(TerminalError):
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


class VendorClient:
    """Asks once per call, with the key in a header: an address would be quoted by errors and logs.

    UsageError when the vendor would miss a key.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.api_key is None and settings.rest_url == VENDOR_REST_URL:
            raise UsageError(
                f"{VENDOR_REST_URL} wants a key: set TWELVEDATA_API_KEY, or CANDLEWORKS_REST_URL to the address that"
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
            answer = self._http.get(f"{self._url}{path}", params=given)
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # broken JSON is a ValueError
            raise VendorAwayError(
                f"{self._url}{path} gave no readable answer ({type(error).__name__}): check the network and"
                " CANDLEWORKS_REST_URL, or try again later."
            ) from None
        code = _refusal_code(answer.status_code, body)
        if code is not None:
            self._refuse(code, body, answer.headers.get("Retry-After", ""))
        return body

    def _refuse(self, code: int, body: Any, retry_after: str) -> None:
        words = self._words(body)
        if code == HTTPStatus.UNAUTHORIZED:
            raise KeyRejectedError(f"{self._url} rejected the API key ({words}): correct TWELVEDATA_API_KEY.")
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            raise NoCreditsLeftError(
                f"{self._url} gives no more API credits ({words}): wait, or set rest.credits_per_minute and"
                " rest.credits_per_day to those of your plan.",
                words,
                float(retry_after) if retry_after.isdecimal() else None,
                whole_day="for the day" in words,
            )
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise VendorAwayError(f"{self._url} failed with status {code} ({words}): try again later.")
        raise NotServedError(f"{self._url} refused with status {code} ({words}): see its documentation.", words)

    def _words(self, body: Any) -> str:
        """Take the vendor's sentence on one line, without the key and of bearable length."""
        message = body.get("message") if isinstance(body, dict) else None
        text = message if isinstance(message, str) else json.dumps(body)
        return " ".join(text.replace(self._key, "(key)").split())[:LONGEST_QUOTE].rstrip(". ")


def _refusal_code(status: int, body: Any) -> int | None:
    """Return the status of a refusal, which may also stand in the body of an answer with 200."""
    if status != HTTPStatus.OK:
        return status
    if not isinstance(body, dict) or body.get("status") != "error":
        return None
    code = body.get("code")
    return code if isinstance(code, int) else int(HTTPStatus.INTERNAL_SERVER_ERROR)
