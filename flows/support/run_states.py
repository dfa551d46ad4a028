"""Final states of runs: every run ends with a sentence as its state's message."""

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRunPolicy, State
from prefect.context import FlowRunContext
from prefect.exceptions import FailedRun, PrefectException
from prefect.states import Completed, Failed

from candleworks.errors import CandleworksError, TerminalError

ALREADY_STREAMING = "AlreadyStreaming"  # cancelled: another run or process streams the feed
REFUSED = "Refused"  # failed: the run cannot succeed until a person changes something
WITH_WORKER = "Stopped together with its worker."
LIMIT_REACHED = "Deployment concurrency limit reached."  # Prefect's message

log = logging.getLogger("candleworks.flows")
P = ParamSpec("P")


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is no traceback of a state that a flow returned: its message is logged and in the state."""
    return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


for _name in ("prefect.flow_runs", "prefect.engine"):
    logging.getLogger(_name).addFilter(_is_news)


def explained(function: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """Let the run fail with the message of a CandleworksError, without a traceback.

    TransientErrors are raised where Prefect retries the flow; after a TerminalError it is not retried.
    """

    @functools.wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> State[Any]:
        try:
            return function(*arguments, **named)
        except TerminalError as error:
            _disable_retries()
            return failed(str(error))
        except CandleworksError as error:
            if _retries():
                raise
            return failed(str(error))

    return run


def completed(message: str, name: str | None = None, level: int = logging.INFO) -> State[Any]:
    """Return a completed state; a `name` distinguishes outcomes that need attention."""
    log.log(level, "%s", message)
    return Completed(message=message, name=name)


def failed(message: str, name: str | None = None) -> State[Any]:
    """Return a failed state, which a person has to look at."""
    log.error("%s", message)
    return Failed(message=message, name=name)


def _retries() -> int:
    context = FlowRunContext.get()
    return (context.flow.retries or 0) if context and context.flow else 0


def _disable_retries() -> None:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not _retries():
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(context.flow_run.id, empirical_policy=FlowRunPolicy(retries=0))
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("Prefect may retry the run, which cannot succeed: %s", error)
