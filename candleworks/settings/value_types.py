"""The types of settings and their valid values."""

import re
from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

VENDOR_FEED_URL = "wss://ws.twelvedata.com/v1/quotes/price"
VENDOR_REST_URL = "https://api.twelvedata.com"
DEFAULT_SYMBOLS = ("AAPL", "MSFT", "TSLA", "AMZN", "BTC/USD", "ETH/USD", "EUR/USD")

# Zones of the calendars that need no exchange_calendars, which brings pandas and costs 0.7 s and 90 MB to import.
BUILT_IN_CALENDARS = {"XNYS": "America/New_York", "24/7": "UTC", "FX": "UTC"}


def matching(pattern: str, allowed: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text

    return AfterValidator(check)


def _known_calendar(name: str) -> str:
    if name not in BUILT_IN_CALENDARS:
        import exchange_calendars  # noqa: PLC0415 - see BUILT_IN_CALENDARS

        if name not in exchange_calendars.get_calendar_names():
            raise ValueError("FX, or a calendar of exchange_calendars such as XNYS, XLON or 24/7")
    return name


def _silence_seconds(value: object) -> int:
    if type(value) is not int or not 5 <= value <= 86_400:
        raise ValueError("a whole number from 5 to 86,400")
    return value


def _url(scheme: str, allowed: str, *, may_have_query: bool = False) -> Callable[[str], str]:
    """Return a validator of URLs of `scheme` or its secure form, as RFC 3986 defines them.

    These URLs are logged and shown, so they have no user and password, and no query, where a key would be, unless
    people are meant to open them.
    """
    form = re.compile(rf"(?i:{scheme}s?)://[^/?#@\s](?:[!-$&-~]|%[0-9a-fA-F]{{2}})*")

    def check(text: str) -> str:
        try:
            parts = urlsplit(text)
            public = "@" not in parts.netloc and (may_have_query or "?" not in text)
            usable = bool(public and form.fullmatch(text) and parts.hostname and parts.port != 0)
        except ValueError:  # an invalid port, or brackets around an invalid address
            usable = False
        if not usable:
            raise ValueError(allowed)
        return text

    return check


Name = Annotated[str, matching("[a-z0-9][a-z0-9-]{0,39}", "up to 40 characters of a-z, 0-9 and -, not starting with -")]
Symbol = Annotated[
    str,
    matching(
        "[A-Za-z0-9][A-Za-z0-9./:^_-]{0,31}",
        "up to 32 letters, digits and . / : ^ _ -, starting with a letter or digit",
    ),
]
VendorSymbol = Annotated[Symbol, AfterValidator(str.upper)]  # as the vendor writes them; it knows no others
Word = Annotated[str, matching("[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}", "up to 32 letters, digits, spaces and . _ -")]
SilenceSeconds = Annotated[int, BeforeValidator(_silence_seconds)]
CalendarName = Annotated[str, AfterValidator(_known_calendar)]
SymbolClass = Literal["stock", "crypto", "forex"]
RequiredField = Literal["time", "symbol", "price", "received_at", "day_volume", "volume", "bid", "ask"]
Port = Annotated[int, Field(ge=1, le=65535)]
_NO_SECRETS = "without user, password and query (the key is TWELVEDATA_API_KEY)"
FeedUrl = Annotated[
    str,
    AfterValidator(
        _url("ws", f"a WebSocket URL such as ws://127.0.0.1:8765/v1/quotes/price or wss://..., {_NO_SECRETS}")
    ),
]
RestUrl = Annotated[
    str, AfterValidator(_url("http", f"a URL such as http://127.0.0.1:8765 or https://..., {_NO_SECRETS}"))
]
PageUrl = Annotated[
    str,
    AfterValidator(
        _url(
            "http", "a URL such as http://127.0.0.1:8050 or https://..., without user and password", may_have_query=True
        )
    ),
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
