"""The API key of a feed. Whether the vendor has accepted it before decides what a refusal means.

docs/decisions/0065-a-key-that-has-worked.md says why.
"""

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote_plus

from candleworks.errors import CandleworksError, TerminalError, TransientError, UsageError
from candleworks.private_files import replace_private
from candleworks.settings import VENDOR_FEED_URL, Feed, Settings

SALT_BYTES = 16
READ_BYTES = 2_000  # of a refusal, of which WORDS_CHARACTERS are shown
WORDS_CHARACTERS = 100

log = logging.getLogger(__name__)


class KeyRefusedError(TransientError):
    """The vendor, or something in between, refused a key that the vendor has accepted before."""


class ApiKey:
    """The key with which a feed connects to `url`; `path` is the file that remembers a key that was accepted.

    `refusal` is what was answered when an accepted key was refused; null again once it is accepted.
    """

    def __init__(self, feed: str, url: str, value: str, path: Path) -> None:
        self.feed = feed
        self.url = url
        self.value = value
        self.refusal: str | None = None
        self._path = path
        self.accepted = self._is_remembered()

    def accept(self) -> None:
        """Note that the vendor streams symbols for this key; a file remembers it, written by another thread."""
        self.refusal = None
        if not self.accepted:
            self.accepted = True
            asyncio.get_running_loop().run_in_executor(None, self._remember)

    def refused(self, cause: str, observed: str, *, explicit: bool) -> CandleworksError:
        """Return the error of a refusal: terminal when it is `explicit`, or when the key has never been accepted.

        `cause` names the refusal, and `observed` quotes it.
        """
        if explicit or not self.accepted:
            return TerminalError(
                f"Feed {self.feed}: {self.url} rejected the API key ({cause}): correct TWELVEDATA_API_KEY."
            )
        self.refusal = observed
        return KeyRefusedError(
            f"Feed {self.feed}: {self.url} refused the API key, which it has accepted before ({observed}): check the"
            " vendor's status and any proxy in between, and correct TWELVEDATA_API_KEY if the key was revoked."
        )

    def redacted(self, text: str) -> str:
        """Return the text without the key."""
        for written in filter(None, (self.value, quote_plus(self.value))):
            text = text.replace(written, "(key)")
        return text

    def first_words(self, body: bytes) -> str:
        """Return how a body begins, on one line without tags and without the key; empty when it has no words."""
        text = self.redacted(body[:READ_BYTES].decode(errors="replace"))
        text = re.sub(r"(?is)<(style|script)\b.*?</\1>|<[^>]*>", " ", text)
        words = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        return words if len(words) <= WORDS_CHARACTERS else f"{words[:WORDS_CHARACTERS]}..."

    def _is_remembered(self) -> bool:
        try:
            salt, _, fingerprint = self._path.read_text(encoding="ascii").strip().partition(":")
            return bool(salt) and self._fingerprint(bytes.fromhex(salt)) == fingerprint
        except (OSError, ValueError):
            return False

    def _remember(self) -> None:
        salt = os.urandom(SALT_BYTES)
        try:
            replace_private(self._path, f"{salt.hex()}:{self._fingerprint(salt)}\n".encode("ascii"))
        except OSError as error:
            log.warning(
                "Feed %s: %s cannot be written (%s): after a restart, a refusal of the API key ends the feed.",
                self.feed, self._path, error.strerror,
            )  # fmt: skip

    def _fingerprint(self, salt: bytes) -> str:
        """Return a hash of the key at this URL; a fast one, because keys are 128 random bits."""
        return hashlib.blake2b(f"{self.url}\n{self.value}".encode(), salt=salt).hexdigest()


def key_of(settings: Settings, feed: Feed) -> ApiKey:
    """Return the key of a feed; the simulated feed accepts any."""
    value = settings.api_key.get_secret_value() if settings.api_key else "demo"
    return ApiKey(feed.name, feed.url or settings.feed_url, value, settings.home / "accepted-keys" / feed.name)


def check_key(settings: Settings, feeds: Sequence[Feed]) -> None:
    """Raise UsageError when a feed uses the vendor's URL and there is no API key."""
    for feed in feeds:
        if settings.api_key is None and (feed.url or settings.feed_url) == VENDOR_FEED_URL:
            raise UsageError(
                f"The feed {VENDOR_FEED_URL} requires a key: set TWELVEDATA_API_KEY, or start `candleworks simulate`"
                " and set CANDLEWORKS_FEED_URL to the URL that it prints."
            )
