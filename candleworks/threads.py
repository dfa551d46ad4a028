"""Blocking calls beside an event loop, in threads that nothing has to wait for.

Unlike those of asyncio.to_thread(), neither the end of the loop nor that of the interpreter waits for them: a call that
hangs, such as one to a database whose server stands still, does not keep the process from ending.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Calls:
    """Calls that can be abandoned all together; belongs to one event loop."""

    def __init__(self) -> None:
        self._pending: set[asyncio.Future[Any]] = set()
        self._abandoned: Exception | None = None

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call a blocking function in a thread of its own; when this is cancelled, the thread is left behind."""
        if self._abandoned is not None:
            raise self._abandoned
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        call = contextvars.copy_context().run
        arguments = (outcome, call, function, *arguments)
        threading.Thread(target=_settle, args=arguments, name=_name_of(function), daemon=True).start()
        self._pending.add(outcome)
        try:
            return await outcome
        finally:
            self._pending.discard(outcome)

    def abandon(self, error: Exception) -> None:
        """Let all calls, and those to come, raise `error`; what their threads still do is ignored."""
        self._abandoned = error
        for outcome in self._pending:
            _set(outcome, outcome.set_exception, error)


async def in_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a blocking function in a thread of its own; when this is cancelled, the thread is left behind."""
    return await Calls().run(function, *arguments)


async def unless_stopped(
    stop: asyncio.Event, function: Callable[..., Result], *arguments: object, grace_seconds: float = 0
) -> Result | None:
    """Call a blocking function in a thread of its own; None when it has not ended so long after `stop` was set.

    The thread is left behind then, and when this is cancelled.
    """
    call = asyncio.ensure_future(in_thread(function, *arguments))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({call, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not call.done():
            await asyncio.wait({call}, timeout=grace_seconds)
        return call.result() if call.done() else None
    finally:
        stopped.cancel()
        call.cancel()


def _name_of(function: Callable[..., object]) -> str:
    return str(getattr(function, "__qualname__", function))


def _settle(
    outcome: asyncio.Future[Any], call: Callable[..., Any], function: Callable[..., Any], *arguments: object
) -> None:
    loop = outcome.get_loop()
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        try:
            result = call(function, *arguments)
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            loop.call_soon_threadsafe(_set, outcome, outcome.set_exception, error)
        else:
            loop.call_soon_threadsafe(_set, outcome, outcome.set_result, result)


def _set(outcome: asyncio.Future[Any], setter: Callable[[Any], None], value: object) -> None:
    if not outcome.done():
        setter(value)
