"""How many requests an address may send: a token bucket for each."""

import math
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request
from starlette.exceptions import HTTPException

from candleworks import clock

MAX_ADDRESSES = 10_000


class RateLimit:
    """Each address has `burst` tokens, gets `per_second` of them back, and pays one for a request.

    Depend on it to count the requests of a route. The addresses that were seen last are remembered.
    """

    def __init__(self, per_second: float, burst: int, now: Callable[[], float] = clock.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, request: Request) -> None:
        address = request.client.host if request.client else ""
        wait_seconds = self.take(address)
        if wait_seconds > 0:
            raise HTTPException(
                429,
                f"The address {address} sends more than {self._per_second:g} requests per second: try again in"
                f" {math.ceil(wait_seconds)} s.",
                {"Retry-After": str(math.ceil(wait_seconds))},
            )

    def take(self, address: str) -> float:
        """Take a token, and return 0; without one, return the seconds until there is one."""
        now = self._now()
        tokens, since = self._buckets.pop(address, (float(self._burst), now))
        tokens = min(tokens + (now - since) * self._per_second, float(self._burst))
        allowed = tokens >= 1
        self._buckets[address] = (tokens - allowed, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_second
