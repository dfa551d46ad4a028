"""Tells of which symbol a file is by its name."""

import re
from pathlib import Path

from candleworks.errors import TerminalError

# Names such as eurusd-m1-bid-2020-01-01-2020-01-02.csv and EURUSD_Candlestick_1_M_BID_01.01.2020-31.01.2020.csv.
_NAMED_BARS = re.compile(
    r"([a-z0-9.]{2,28})([a-z]{3})[_-](?:candlestick[_-]\d+[_-][a-z]+|[mhd]\d+)[_-](bid|ask)(?:[_.-]|$)", re.IGNORECASE
)
# Names such as EURUSD_Ticks_08.11.2016-08.11.2016.csv, USA500.IDXUSD_Ticks_..., eurusd-tick-2016-11-08.csv.
_NAMED_TICKS = re.compile(r"([a-z0-9.]{2,28})([a-z]{3})[_-]ticks?(?:[_.-]|$)", re.IGNORECASE)
_NAMED_PAIR = re.compile(r"([A-Z]{3})(USD|EUR|GBP|JPY|CHF|AUD|NZD|CAD|HKD|SGD|NOK|SEK|CNH|MXN|ZAR|TRY)(?:[_. -]|$)")
_NAMED_SYMBOL = re.compile(r"([A-Z][A-Z0-9.]{1,19})-")
_PAIR_INSIDE = re.compile(rf"(?:^|[_. -])(?={_NAMED_PAIR.pattern})")


def symbol_of(name: str) -> str:
    """Tell the symbol by a file's name; TerminalError when it does not tell one."""
    if (symbol := _pair_of(name)) is None:
        raise TerminalError(f"{name} does not say which symbol its ticks are of: name it with --symbol EUR/USD.")
    return symbol


def _pair_of(name: str) -> str | None:
    stem = Path(name).name
    found = _NAMED_BARS.match(stem) or _NAMED_TICKS.match(stem) or _NAMED_PAIR.match(stem)
    return f"{found[1]}/{found[2]}".upper() if found else None


def likely_symbol(name: str) -> str | None:
    """Tell the likely symbol of BTCUSDT-trades-2024.csv or DAT_ASCII_EURUSD_T_202001.csv, None where there is none."""
    stem = Path(name).name
    if found := _PAIR_INSIDE.search(stem):
        return _pair_of(stem[found.end() :])
    found = _NAMED_SYMBOL.match(stem)
    return _pair_of(name) or (found[1] if found else None)


def side_of(name: str) -> str | None:
    """Tell whether a file's bars are those of the bid or the ask, as Dukascopy and dukascopy-node name them."""
    found = _NAMED_BARS.match(Path(name).name)
    return found[3].lower() if found else None
