"""How the parts of `up` are started again."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from candleworks import clock
from candleworks.runtime.processes import HEALTHY_SECONDS, LONGEST_WAIT_SECONDS, Child

SECONDS = 30
PROGRAM = "import os; print(os.environ['SAYS'], flush=True); raise SystemExit(int(os.environ['STATUS']))"

Make = Callable[..., Child]


class Time:
    """A clock that is moved by hand."""

    now = 1000.0


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Time:
    moment = Time()
    monkeypatch.setattr(clock, "monotonic", lambda: moment.now)
    return moment


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Start a part that ends with a status and some words."""
    (tmp_path / "part.py").write_text(PROGRAM)
    made: list[Child] = []

    def make(status: int, says: str = "It broke.", *, refusing: bool = False) -> Child:
        environment = {"PYTHONPATH": str(tmp_path), "STATUS": str(status), "SAYS": says}
        made.append(Child("part", [], environment, tmp_path / "part.log", "part", refusing=refusing))
        made[-1].start()
        return made[-1]

    yield make
    for child in made:
        child.wait(0.0)


def has_ended(child: Child) -> None:
    assert child._process
    child._process.wait(SECONDS)


def waits(child: Child, moment: Time) -> int:
    """How many whole seconds an ended part waits for its restart."""
    has_ended(child)
    for seconds in range(LONGEST_WAIT_SECONDS + 1):
        if child.revive():
            return seconds
        moment.now += 1
    raise AssertionError(child.note)


@pytest.mark.parametrize(("status", "ending"), [(0, "had ended"), (1, "had ended with status 1 (It broke.)")])
def test_a_part_that_ends_by_itself_is_started_again(make: Make, status: int, ending: str) -> None:
    """At once the first time, whatever its status was."""
    child = make(status)
    has_ended(child)
    assert child.revive()
    assert (child.ending, child.note) == (ending, None)


def test_a_part_that_was_killed_is_started_again_at_once(make: Make) -> None:
    """There is no brake on the first death."""
    child = make(0)
    assert child._process
    os.kill(child._process.pid, signal.SIGKILL)
    has_ended(child)
    assert child.revive()
    assert child.ending == "had died"


def test_restarts_come_later_and_later_until_it_was_healthy(make: Make, moment: Time) -> None:
    """A part that keeps ending is shown; a minute of health forgives all that was before."""
    child = make(1)
    assert [waits(child, moment) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    log = child.log
    assert child.note == f"part keeps ending: it had ended with status 1 (It broke.), 8 times in a row (log: {log})"
    moment.now += HEALTHY_SECONDS
    assert child.note is None
    assert [waits(child, moment) for _ in range(3)] == [0, 1, 2]


def test_a_part_that_waits_for_its_restart_is_shown(make: Make, moment: Time) -> None:
    """With its last words and where to read more."""
    child = make(1)
    waits(child, moment)
    has_ended(child)
    assert not child.revive()
    assert child.note == f"part had ended with status 1 (It broke.) and starts again in a moment (log: {child.log})"


def test_a_refusal_ends_a_part_for_good(make: Make) -> None:
    """A key that was refused will be refused again; the same status of another part says nothing."""
    child = make(1, "The key is wrong.", refusing=True)
    has_ended(child)
    assert not child.revive()
    assert (child.refused, child.note) == (True, "part has stopped: The key is wrong.")
    assert not make(1).refused
