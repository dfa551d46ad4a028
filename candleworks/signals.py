"""The signals that ask a process to end in order."""

import asyncio
import signal
from collections.abc import Callable


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return SIGINT, SIGTERM and, unless `nohup` has it ignored, SIGHUP: the terminal was closed."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,)))


def on_stop_signal(act: Callable[[], object]) -> None:
    """Call `act` at each of them; for the main thread, inside the running loop."""
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, act)
