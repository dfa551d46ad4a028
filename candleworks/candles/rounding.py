"""Numbers of candles as programs get them.

A volume is a sum and a mid is half of one, so that their last binary digits are noise: 62.759999999999984. Decimal
numbers of up to 15 digits are exact as doubles.
"""

_DIGITS = 15


def rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def rounded_volume(volume: float | None) -> float | None:
    return volume if volume is None or volume.is_integer() else rounded(volume)


def rounded_price(price: float, side: str) -> float:
    """Return a price with the digits that its ticks have."""
    return rounded(price) if side == "mid" else price
