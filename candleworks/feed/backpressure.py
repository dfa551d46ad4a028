"""A bound that whoever fills something respects."""

import asyncio


class Room:
    """Whether there is room for more; belongs to one event loop. Asking is cheaper than awaiting."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()

    @property
    def crowded(self) -> bool:
        return not self._free.is_set()

    async def room(self) -> None:
        """Wait until there is room."""
        await self._free.wait()

    def _set_room(self, *, free: bool) -> None:
        if free:
            self._free.set()
        else:
            self._free.clear()
