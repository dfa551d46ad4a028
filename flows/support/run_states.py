"""How a run ends: with a sentence as its state's message, also where a person has to mend something first."""

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

log = logging.getLogger("candleworks.flows")
P = ParamSpec("P")


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is no traceback of a state that a flow returned: its message is in the log and in the state."""
    return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


for _name in ("prefect.flow_runs", "prefect.engine"):
    logging.getLogger(_name).addFilter(_is_news)


def explained(function: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """Let the run fail with the sentence of an error of ours, without its traceback.

    Errors that pass by themselves are raised where Prefect repeats the run; a TerminalError is not repeated.
    """

    @functools.wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> State[Any]:
        try:
            return function(*arguments, **named)
        except TerminalError as error:
            _repeat_no_more()
            return failed(str(error))
        except CandleworksError as error:
            if _retries():
                raise
            return failed(str(error))

    return run


def completed(message: str, name: str | None = None, level: int = logging.INFO) -> State[Any]:
    """Return the state of a run that did its work; a `name` tells those apart that did not end as one hopes."""
    log.log(level, "%s", message)
    return Completed(message=message, name=name)


def failed(message: str, name: str | None = None) -> State[Any]:
    """Return the state of a run whose work a person has to look at."""
    log.error("%s", message)
    return Failed(message=message, name=name)


def _retries() -> int:
    context = FlowRunContext.get()
    return (context.flow.retries or 0) if context and context.flow else 0


def _repeat_no_more() -> None:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not _retries():
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(context.flow_run.id, empirical_policy=FlowRunPolicy(retries=0))
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("Prefect may repeat the run, which cannot help: %s", error)
