"""Recipients of notifications: apprise URLs, named without their secrets, and the reasons why sending failed."""

import contextlib
import hashlib
import html
import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from candleworks.alerts.message import Level, Message
from candleworks.settings import Settings

if TYPE_CHECKING:
    from apprise import Apprise

LOG = "log"
_DEFAULT_LENGTHS = (250, 32_768)
# Names of apprise: recipients show them by colour or icon, a webhook gets them as its type.
_KINDS: Mapping[Level, str] = {"critical": "failure", "warning": "warning", "info": "info", "resolved": "success"}

log = logging.getLogger(__name__)


class SendResult(NamedTuple):
    """Whether a message was accepted; if not, why, without secrets, and whether it may have arrived anyway."""

    accepted: bool
    reason: str | None = None
    maybe_arrived: bool = False


class Recipient(Protocol):
    """Accepts messages; its name holds no secret."""

    @property
    def name(self) -> str: ...

    @property
    def lengths(self) -> tuple[int, int]:
        """The maximum number of characters of a title and of a body."""

    def send(self, message: Message) -> SendResult: ...


def recipients(settings: Settings) -> list[Recipient]:
    """Return the configured recipients, or the log when there are none."""
    urls = [url.get_secret_value() for url in settings.alert_urls]
    return [_AppriseRecipient(url) for url in dict.fromkeys(urls)] or [_LogRecipient()]


class _LogRecipient:
    """Writes notifications to the log of this process."""

    name = LOG
    lengths = _DEFAULT_LENGTHS

    def send(self, message: Message) -> SendResult:
        log.warning("%s\n%s", message.title, message.body)
        return SendResult(accepted=True)


class _AppriseRecipient:
    """One apprise URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        schema = url.partition("://")[0]
        self.name = f"{schema}-{hashlib.sha256(url.encode()).hexdigest()[:10]}"

    @property
    def lengths(self) -> tuple[int, int]:
        with _captured_log():
            servers = self._apprise()
        return (servers[0].title_maxlen or _DEFAULT_LENGTHS[0], servers[0].body_maxlen) if servers else _DEFAULT_LENGTHS

    def send(self, message: Message) -> SendResult:
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - see _apprise

        with _captured_log() as lines:
            servers = self._apprise()
            if not servers:
                return SendResult(accepted=False, reason="invalid apprise URL: correct CANDLEWORKS_ALERT_URLS")
            kind, (title, body) = NotifyType(_KINDS[message.level]), message[:2]
            form = NotifyFormat.TEXT
            if servers[0].notify_format == NotifyFormat.HTML:
                # apprise's own conversion makes every space a &nbsp;, which keeps phones from wrapping lines
                form, body = NotifyFormat.HTML, html.escape(body, quote=False).replace("\n", "<br/>")
                title = title if servers[0].title_maxlen > 0 else html.escape(title, quote=False)
            accepted = servers.notify(body, title, kind, body_format=form)
        return SendResult(accepted=True) if accepted else _failure(lines)

    def _apprise(self) -> "Apprise":
        """Return the sender to the URL; it has no server where the URL is not valid."""
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - 0.5 s to import and to look at its plugins

        servers = Apprise(asset=AppriseAsset(app_id="candleworks", app_desc="candleworks alerts"))
        servers.add(self._url)
        return servers


@contextlib.contextmanager
def _captured_log() -> Iterator[list[str]]:
    """Capture the log of apprise and its libraries, which may hold tokens and addresses, instead of showing it."""
    captured = _LogCapture()
    before = []
    for name in ("apprise", "urllib3"):
        logger = logging.getLogger(name)
        before.append((logger, logger.level, logger.propagate))
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(captured)
    try:
        yield captured.lines
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(captured)
            logger.setLevel(level)
            logger.propagate = propagate


class _LogCapture(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "apprise":
            self.lines.append(record.getMessage())


class _FailureReason(NamedTuple):
    pattern: str
    sentence: str
    maybe_arrived: bool = False


# apprise reports only that sending failed; its log is searched for reasons that hold no secret.
_REASONS = (
    _FailureReason(r"error=(\d{3})\b", "HTTP status {}"),
    _FailureReason(r"Exception: \((\d{3}), b['\"]", "SMTP status {}"),
    _FailureReason(r"Connection refused", "connection refused"),
    _FailureReason(r"getaddrinfo|Name or service not known|name resolution|NameResolution", "host name not found"),
    _FailureReason(r"certificate verify failed", "certificate not trusted"),
    _FailureReason(r"connect timeout|Connection timed out|ConnectTimeout", "connection timed out"),
    _FailureReason(r"timed out", "no response in time", maybe_arrived=True),
    _FailureReason(r"Connection aborted|reset by peer|closed|Broken pipe", "connection closed", maybe_arrived=True),
)


def _failure(lines: list[str]) -> SendResult:
    text = "\n".join(lines)
    for reason in _REASONS:
        if found := re.search(reason.pattern, text):
            return SendResult(
                accepted=False, reason=reason.sentence.format(*found.groups()), maybe_arrived=reason.maybe_arrived
            )
    return SendResult(accepted=False, reason="apprise gave no reason")
