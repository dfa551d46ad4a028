"""Where notifications go: apprise addresses, named without secrets, and what a failed attempt may say about them."""

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
# apprise's names: recipients show them by colour or icon, a webhook has them as its type.
_KINDS: Mapping[Level, str] = {"critical": "failure", "warning": "warning", "info": "info", "resolved": "success"}

log = logging.getLogger(__name__)


class Sent(NamedTuple):
    """Whether a notification was taken; if not, why, without secrets, and whether it may have arrived all the same."""

    taken: bool
    reason: str | None = None
    maybe_arrived: bool = False


class Recipient(Protocol):
    """Takes notifications; it is named without its secrets."""

    @property
    def name(self) -> str: ...

    @property
    def lengths(self) -> tuple[int, int]:
        """The most characters of a title and of a body that it takes."""

    def send(self, message: Message) -> Sent: ...


def recipients(settings: Settings) -> list[Recipient]:
    """Return the configured recipients, or the log when there is none."""
    urls = [url.get_secret_value() for url in settings.alert_urls]
    return [_Address(url) for url in dict.fromkeys(urls)] or [_Log()]


class _Log:
    """Writes notifications to the log of this process."""

    name = LOG
    lengths = _DEFAULT_LENGTHS

    def send(self, message: Message) -> Sent:
        log.warning("%s\n%s", message.title, message.body)
        return Sent(taken=True)


class _Address:
    """One apprise address."""

    def __init__(self, url: str) -> None:
        self._url = url
        schema = url.partition("://")[0]
        self.name = f"{schema}-{hashlib.sha256(url.encode()).hexdigest()[:10]}"

    @property
    def lengths(self) -> tuple[int, int]:
        with _overheard():
            servers = self._apprise()
        return (servers[0].title_maxlen or _DEFAULT_LENGTHS[0], servers[0].body_maxlen) if servers else _DEFAULT_LENGTHS

    def send(self, message: Message) -> Sent:
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - see _apprise

        with _overheard() as words:
            servers = self._apprise()
            if not servers:
                return Sent(taken=False, reason="apprise cannot read its address: correct CANDLEWORKS_ALERT_URLS")
            kind, (title, body) = NotifyType(_KINDS[message.level]), message[:2]
            form = NotifyFormat.TEXT
            if servers[0].notify_format == NotifyFormat.HTML:
                # apprise's own conversion makes every space a &nbsp;, so that no phone could break the lines
                form, body = NotifyFormat.HTML, html.escape(body, quote=False).replace("\n", "<br/>")
                title = title if servers[0].title_maxlen > 0 else html.escape(title, quote=False)
            taken = servers.notify(body, title, kind, body_format=form)
        return Sent(taken=True) if taken else _failure(words)

    def _apprise(self) -> "Apprise":
        """Return what sends to the address; it holds no server where apprise cannot read the address."""
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - 0.5 s to import and to look at its plugins

        servers = Apprise(asset=AppriseAsset(app_id="candleworks", app_desc="candleworks alerts"))
        servers.add(self._url)
        return servers


@contextlib.contextmanager
def _overheard() -> Iterator[list[str]]:
    """Keep what apprise and what it uses log, which holds tokens and addresses, for ourselves."""
    words = _Words()
    before = []
    for name in ("apprise", "urllib3"):
        logger = logging.getLogger(name)
        before.append((logger, logger.level, logger.propagate))
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(words)
    try:
        yield words.heard
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(words)
            logger.setLevel(level)
            logger.propagate = propagate


class _Words(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "apprise":
            self.heard.append(record.getMessage())


class _Reason(NamedTuple):
    pattern: str
    sentence: str
    maybe_arrived: bool = False


# apprise says only that it failed. What it logs is looked through for what can be repeated without its secrets.
_REASONS = (
    _Reason(r"error=(\d{3})\b", "it answered HTTP {}"),
    _Reason(r"Exception: \((\d{3}), b['\"]", "it answered SMTP {}"),
    _Reason(r"Connection refused", "it refused the connection"),
    _Reason(r"getaddrinfo|Name or service not known|name resolution|NameResolution", "its name is not known"),
    _Reason(r"certificate verify failed", "its certificate is not trusted"),
    _Reason(r"connect timeout|Connection timed out|ConnectTimeout", "it cannot be reached in time"),
    _Reason(r"timed out", "it did not answer in time", maybe_arrived=True),
    _Reason(r"Connection aborted|reset by peer|closed|Broken pipe", "it broke the connection", maybe_arrived=True),
)


def _failure(words: list[str]) -> Sent:
    text = "\n".join(words)
    for reason in _REASONS:
        if found := re.search(reason.pattern, text):
            return Sent(taken=False, reason=reason.sentence.format(*found.groups()), maybe_arrived=reason.maybe_arrived)
    return Sent(taken=False, reason="apprise did not say why")
