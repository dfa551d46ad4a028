"""Running a simulator: in a thread, in a process of its own, or until a stop signal."""

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Final

from candleworks.errors import CandleworksError, TransientError
from candleworks.processes import on_stop_signal
from candleworks.simulate.control import RunningSimulator
from candleworks.simulate.server import SimulatorOptions, run_simulator

_TIMEOUT_SECONDS: Final = 30


@contextmanager
def running_simulator(
    options: SimulatorOptions | None = None, *, process: bool = False, **changes: Any
) -> Iterator[RunningSimulator]:
    """Run a simulator for a `with` block, by default on a free port and in a thread of this process.

    `changes` are fields of SimulatorOptions. `process` gives it an interpreter of its own, so that its work does not
    slow down what is measured; the calling script then needs the usual `if __name__ == "__main__"`.
    """
    if "symbols" in changes:
        changes["symbols"] = tuple(changes["symbols"])
    chosen = replace(options or SimulatorOptions(port=0), **changes)
    with _in_process(chosen) if process else _in_thread(chosen) as port:
        yield RunningSimulator(chosen.host, port)


async def serve_until_stopped(
    options: SimulatorOptions, *, ready: Callable[[int], None], duration_seconds: float | None = None
) -> None:
    """Serve until a stop signal comes or the duration has passed. Only in the main thread."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    if duration_seconds is not None:
        asyncio.get_running_loop().call_later(duration_seconds, stop.set)
    await run_simulator(options, stop=stop, ready=ready)


@contextmanager
def _in_thread(options: SimulatorOptions) -> Iterator[int]:
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        await run_simulator(options, stop=stop, ready=lambda port: started.set_result((port, loop, stop)))

    def run() -> None:
        try:
            asyncio.run(serve())
        except CandleworksError as error:
            started.set_exception(error)

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    port, loop, stop = started.result(_TIMEOUT_SECONDS)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_TIMEOUT_SECONDS)


@contextmanager
def _in_process(options: SimulatorOptions) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve_in_child, args=(options, there), name="simulator", daemon=True)
    child.start()
    try:
        yield _port_of_child(here)
    finally:
        child.terminate()
        child.join(_TIMEOUT_SECONDS)


def _port_of_child(pipe: Connection) -> int:
    if not pipe.poll(_TIMEOUT_SECONDS):
        raise TransientError(f"the simulator's process did not start within {_TIMEOUT_SECONDS} s: try again")
    answer = pipe.recv()
    if isinstance(answer, CandleworksError):
        raise answer
    return int(answer)


def _serve_in_child(options: SimulatorOptions, pipe: Connection) -> None:
    try:
        asyncio.run(serve_until_stopped(options, ready=pipe.send))
    except CandleworksError as error:
        pipe.send(error)
