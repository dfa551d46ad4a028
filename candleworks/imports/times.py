"""Reads times by columns, and converts local times to UTC.

Texts of one length are a grid of bytes whose digits are added up at once: less than half the time of polars' strptime,
which decides how fast a file of distinct milliseconds is read.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from candleworks.model.trades import MICROSECONDS, microseconds_of

Integers = NDArray[np.int64]
_DIGITS = "YNDhmsfzZ"
_FRACTIONS = ("", *("." + "f" * count for count in range(1, 10)))
_OFFSETS = ("", "U", "Szz", "SzzZZ", "Szz:ZZ")
_DAY_US = 86_400 * MICROSECONDS


@dataclass(frozen=True)
class TimeForm:
    """A format of times; `said` is its name in rejections.

    In a template Y N D h m s are digits of the date and the time, f of the fraction, S is a sign and z Z the digits of
    an offset's hours and minutes; ? is a space or a T and U the letter Z. `otherwise` reads the few texts that match no
    template, and returns microseconds since 1970. With `utc`, a time without an offset is UTC.
    """

    said: str
    templates: tuple[str, ...]
    utc: bool = False
    epoch_us: int | None = None
    otherwise: Callable[[str], int | None] = lambda _: None


@dataclass(frozen=True)
class Times:
    """Microseconds since 1970 per text; `valid` marks times, `local` times without an offset from UTC."""

    us: Integers
    valid: NDArray[np.bool_]
    local: NDArray[np.bool_]


def read_times(texts: pl.Series, form: TimeForm) -> Times:
    """Read each text, null included; the caller removes spaces around a time."""
    filled = texts.fill_null("")
    if form.epoch_us is not None:
        return _epoch(filled, form.epoch_us)
    times = Times(np.zeros(len(texts), np.int64), np.zeros(len(texts), bool), np.zeros(len(texts), bool))
    lengths = filled.str.len_bytes().to_numpy()
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        part = filled if len(rows) == len(filled) else filled.gather(rows)
        _read_grid(part, rows, _by_length(form.templates).get(int(length), ()), form, times)
    return times


def _epoch(texts: pl.Series, unit_us: int) -> Times:
    number = texts.cast(pl.Int64, strict=False)
    bounded = number.set(number.abs() > 253_402_300_800 * MICROSECONDS // unit_us, None)  # year 10,000
    valid = bounded.is_not_null().to_numpy()
    return Times(bounded.fill_null(0).to_numpy() * unit_us, valid, np.zeros(len(texts), bool))


@cache
def _by_length(templates: tuple[str, ...]) -> dict[int, tuple[str, ...]]:
    lengths = {len(template) for template in templates}
    return {length: tuple(t for t in templates if len(t) == length) for length in lengths}


def _read_grid(texts: pl.Series, rows: Integers, templates: Iterable[str], form: TimeForm, times: Times) -> None:
    """Set the times of the rows; texts that match no template are read one by one."""
    left = np.arange(len(rows))
    for template in templates:
        grid = np.frombuffer("".join(texts.gather(left) if len(left) < len(rows) else texts).encode(), np.uint8)
        grid = grid.reshape(len(left), len(template))
        fits, us, has_offset = _fitted(grid, template)
        done = rows[left[fits]]
        times.us[done], times.valid[done], times.local[done] = us[fits], True, not (has_offset or form.utc)
        left = left[~fits]
        if not len(left):
            return
    for index in left:
        us_or_none = form.otherwise(texts[int(index)])
        if us_or_none is not None:
            times.us[rows[index]], times.valid[rows[index]] = us_or_none, True


def _fitted(grid: NDArray[np.uint8], template: str) -> tuple[NDArray[np.bool_], Integers, bool]:
    """Return which rows of bytes are a time in this template, their microseconds, and whether it has an offset."""
    columns = np.ascontiguousarray(grid.T)
    fits = _matches(columns, template)

    def number(letter: str) -> NDArray[np.int32]:
        total = np.zeros(len(grid), np.int32)
        for place, its in enumerate(template):
            if its == letter:
                total = total * 10 + (columns[place].astype(np.int32) - ord("0"))
        return total

    hour, minute, second = number("h"), number("m"), number("s")
    days, exist = _days(np.where(fits, (number("Y") * 100 + number("N")) * 100 + number("D"), 0))
    fits &= exist & (hour < 24) & (minute < 60) & (second < 60)
    seconds = (hour * 60 + minute) * 60 + second
    if "S" in template:
        offset = number("z") * 60 + number("Z")
        fits &= (number("z") < 24) & (number("Z") < 60)
        seconds -= np.where(columns[template.index("S")] == ord("-"), -60, 60) * offset
    us = days * _DAY_US + seconds.astype(np.int64) * MICROSECONDS + _fraction_us(template, number)
    return fits, us, "S" in template or template.endswith("U")


def _days(dates: NDArray[np.int32]) -> tuple[Integers, NDArray[np.bool_]]:
    """Convert dates such as 20161108 to days since 1970, and return which exist; runs of equal dates are done once."""
    starts = np.flatnonzero(np.diff(dates, prepend=-1))
    year, month, day = dates[starts] // 10_000, dates[starts] // 100 % 100, dates[starts] % 100
    exist = (year > 0) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.where(exist, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    first = months.astype("datetime64[D]").astype(np.int64)
    exist &= day <= (months + 1).astype("datetime64[D]").astype(np.int64) - first
    lengths = np.diff(starts, append=len(dates))
    return np.repeat(first + day - 1, lengths), np.repeat(exist, lengths)


def _fraction_us(template: str, number: Callable[[str], NDArray[np.int32]]) -> Integers:
    """Return the fraction of a second, truncated to microseconds."""
    places = template.count("f")
    fraction = number("f").astype(np.int64)
    scale = np.int64(10 ** abs(6 - places))
    return fraction * scale if places <= 6 else fraction // scale


def _matches(columns: NDArray[np.uint8], template: str) -> NDArray[np.bool_]:
    fits = np.ones(columns.shape[1], bool)
    for place, letter in enumerate(template):
        column = columns[place]
        if letter in _DIGITS:
            fits &= column - ord("0") <= 9  # below "0" it wraps around
        elif letter == "S":
            fits &= (column == ord("+")) | (column == ord("-"))
        elif letter == "?":
            fits &= (column == ord(" ")) | (column == ord("T"))
        else:
            fits &= column == ord("Z" if letter == "U" else letter)
    return fits


def _iso(text: str) -> int | None:
    """Read the rarer spellings of ISO 8601, which need an offset."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if time.tzinfo is None else microseconds_of(time)


def _with_fractions(date: str, offsets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{date}{fraction}{offset}" for fraction in _FRACTIONS for offset in offsets)


def _iso_spellings(offsets: tuple[str, ...]) -> tuple[str, ...]:
    """Return templates of dates with hyphens; the last ones are without seconds."""
    return (*_with_fractions("YYYY-NN-DD?hh:mm:ss", offsets), *(f"YYYY-NN-DD?hh:mm{offset}" for offset in offsets))


ISO = TimeForm("an ISO time with an offset from UTC", _iso_spellings(_OFFSETS[1:]), otherwise=_iso)
LOCAL_ISO = TimeForm("an ISO time", _iso_spellings(_OFFSETS), otherwise=_iso)
_DOTTED = _with_fractions("DD.NN.YYYY hh:mm:ss", ("", " GMTSzzZZ"))
DOTTED = TimeForm("a time such as 08.11.2016 00:00:00.054", _DOTTED)
DOTTED_UTC = TimeForm("a time such as 08.11.2016 00:00:00.054", _DOTTED, utc=True)
_COMPACT = _with_fractions("YYYYNNDD hh:mm:ss", ("",))
# Without separators, the fraction's point included, as HistData writes them: 20200101 170000065.
_BARE = (
    *_with_fractions("YYYYNNDD?hhmmss", ("", "U")),
    *("YYYYNNDD?hhmmss" + "f" * places for places in (3, 6)),
    *("YYYYNNDDhhmmss" + "f" * places for places in (0, 3, 6)),
)
_SLASHED = (*_with_fractions("YYYY/NN/DD?hh:mm:ss", ("", "U")), "YYYY/NN/DD?hh:mm")
_YEAR_FIRST = (*_with_fractions("YYYY.NN.DD?hh:mm:ss", ("", "U")), "YYYY.NN.DD?hh:mm")
COMPACT = TimeForm("a time such as 20160104 00:00:00.123 or 20160104 000000123", _COMPACT + _BARE)
YEAR_FIRST = TimeForm("a time such as 2016.01.04 00:00:00.123 or 2016/01/04 00:00:00", _YEAR_FIRST + _SLASHED)
COMPACT_UTC = TimeForm("a time such as 20160104 00:00:00.123", _COMPACT, utc=True)
DATES = TimeForm("a date such as 2016-01-04", ("YYYY-NN-DD", "YYYYNNDD", "YYYY/NN/DD", "YYYY.NN.DD"), utc=True)
EPOCH_MS = TimeForm("a number of milliseconds since 1970", (), epoch_us=1_000)
EPOCH_SECONDS = TimeForm("a number of seconds since 1970", (), epoch_us=MICROSECONDS)
EPOCH_US = TimeForm("a number of microseconds since 1970", (), epoch_us=1)


_GENERIC = (LOCAL_ISO, DOTTED, COMPACT, YEAR_FIRST, EPOCH_MS, EPOCH_SECONDS, EPOCH_US)
_EPOCH_DIGITS = {EPOCH_SECONDS: 10, EPOCH_MS: 13, EPOCH_US: 16}


def form_of(texts: Sequence[str]) -> TimeForm | None:
    """Return the format of most of the texts; None when they are not times."""
    series = texts_of(texts)
    for form in _GENERIC:
        digits = _EPOCH_DIGITS.get(form)
        if digits is not None and not all(text.isdecimal() and len(text) == digits for text in texts):
            continue
        if texts and read_times(series, form).valid.mean() > 0.5:
            return form
    return None


def texts_of(texts: Iterable[str]) -> pl.Series:
    """Return texts as the column that read_times takes."""
    return pl.Series(list(texts), dtype=pl.String)


# Among ambiguous times, a step back of more than this begins the second occurrence of the hour.
STEP_BACK_US = 60 * MICROSECONDS


@dataclass(frozen=True)
class AmbiguityState:
    """Where a file is among ambiguous times: the last one, and whether it belongs to the second occurrence."""

    last_us: int | None = None
    second: bool = False


class Resolved(NamedTuple):
    """Microseconds since 1970 in UTC; `nonexistent` marks skipped times, `ambiguous` times resolved by their order."""

    us: Integers
    nonexistent: NDArray[np.bool_]
    ambiguous: NDArray[np.bool_]
    clock: AmbiguityState


def resolve(local_us: Integers, valid: NDArray[np.bool_], zone: str, clock: AmbiguityState) -> Resolved:
    """Convert local times to UTC; they are in ascending order, except where clocks go back. Only `valid` ones count."""
    naive = pl.from_epoch(pl.Series(local_us), time_unit="us").dt.cast_time_unit("us")
    earliest = _utc(naive, zone, "earliest")
    latest = _utc(naive, zone, "latest")
    nonexistent = valid & earliest.is_null().to_numpy()
    early, late = earliest.fill_null(0).to_numpy(), latest.fill_null(0).to_numpy()
    ambiguous = valid & ~nonexistent & (early != late)
    if not ambiguous.any():
        return Resolved(early, nonexistent, ambiguous, clock if not (valid & ~nonexistent).any() else AmbiguityState())
    second, clock = _second_occurrence(local_us, ambiguous, np.cumsum(valid & ~nonexistent & ~ambiguous), clock)
    return Resolved(np.where(second, late, early), nonexistent, ambiguous, clock)


def _utc(naive: pl.Series, zone: str, ambiguous: str) -> pl.Series:
    return (
        naive.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")  # type: ignore[arg-type]
        .dt.convert_time_zone("UTC")
        .dt.epoch("us")
    )


def _second_occurrence(
    local_us: Integers, ambiguous: NDArray[np.bool_], hours: Integers, clock: AmbiguityState
) -> tuple[NDArray[np.bool_], AmbiguityState]:
    """Return which ambiguous times are the second occurrence; `hours` counts the unambiguous times before each."""
    second = np.zeros(len(local_us), bool)
    hour = 0
    for index in np.flatnonzero(ambiguous):
        us = int(local_us[index])
        if hours[index] != hour:
            hour, clock = hours[index], AmbiguityState()
        stepped_back = clock.last_us is not None and us < clock.last_us - STEP_BACK_US
        clock = replace(clock, last_us=us, second=clock.second or stepped_back)
        second[index] = clock.second
    return second, clock if hours[-1] == hour else AmbiguityState()
