"""Stopping a process in order: the signals that ask for it, and waiting that ends early."""

import asyncio
import contextlib
import signal
from collections.abc import Callable


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return SIGINT, SIGTERM and SIGHUP (the terminal was closed), the last one unless `nohup` made it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,)))


def on_stop_signal(callback: Callable[[], object]) -> None:
    """Call `callback` at each stop signal; only in the main thread, inside the running event loop."""
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, callback)


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait until `stop` is set, but no longer than `seconds`; return whether it is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
