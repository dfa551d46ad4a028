"""What tests of the chart page read from it."""

import re
from datetime import datetime, timedelta

from tests.web.browser import Page, until

UP, DOWN = [0x26, 0xA6, 0x9A], [0xEF, 0x53, 0x50]  # --up and --down of the dark theme
COUNT_PIXELS = """
(([red, green, blue], tolerance = 0) => {
  const near = (one, other) => Math.abs(one - other) <= tolerance;
  const copy = new OffscreenCanvas(innerWidth, innerHeight).getContext("2d", { willReadFrequently: true });
  for (const canvas of document.querySelectorAll("#chart canvas")) copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, innerWidth, innerHeight);
  let sum = 0;
  for (let n = 0; n < data.length; n += 4)
    if (near(data[n], red) && near(data[n + 1], green) && near(data[n + 2], blue)) sum += 1;
  return sum;
})
"""


def see(page: Page, field: str, text: str) -> None:
    """Wait until a field of the read-out says so."""
    until(lambda: page.text(f"[data-field={field}]") == text, 30, f"{field} {text}")


def candle_count(page: Page) -> int:
    """Return how many candles the page holds, as it tells screen readers."""
    found = re.search(r"(\d+) candles", page.evaluate("document.querySelector('#chart').ariaLabel"))
    return int(found[1]) if found else 0


def minute(start: datetime, n: int) -> str:
    return f"{start + timedelta(minutes=n):%Y-%m-%d %H:%M}"
