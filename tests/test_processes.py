"""How child processes are restarted, and processes ended within a deadline."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from candleworks import clock
from candleworks.errors import UsageError
from candleworks.processes import (
    HEALTHY_SECONDS,
    MAX_BACKOFF_SECONDS,
    MAX_LOG_BYTES,
    Child,
    end_processes,
    find_process,
    python_module,
    single_instance,
)

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

    def make(status: int, says: str = "It broke.", *, terminal_exit: bool = False, once: bool = False) -> Child:
        environment = {"PYTHONPATH": str(tmp_path), "STATUS": str(status), "SAYS": says}
        command, log = python_module("part"), tmp_path / "part.log"
        made.append(Child("part", command, environment, log, terminal_exit=terminal_exit, once=once))
        made[-1].start()
        return made[-1]

    yield make
    for child in made:
        child.wait(0.0)


def has_ended(child: Child) -> None:
    assert child.wait(SECONDS) is not None


def waits(child: Child, moment: Time) -> int:
    """How many whole seconds an ended part waits for its restart."""
    has_ended(child)
    for seconds in range(MAX_BACKOFF_SECONDS + 1):
        if child.restart_if_ended():
            return seconds
        moment.now += 1
    raise AssertionError(child.note)


@pytest.mark.parametrize(("status", "ending"), [(0, "exited"), (1, "exited with status 1 (It broke.)")])
def test_a_part_that_ends_by_itself_is_started_again(make: Make, status: int, ending: str) -> None:
    """At once the first time, whatever its status was."""
    child = make(status)
    has_ended(child)
    assert child.restart_if_ended()
    assert (child.ending, child.note) == (ending, None)


def test_a_part_that_was_killed_is_started_again_at_once(make: Make) -> None:
    """There is no brake on the first death."""
    child = make(0)
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    has_ended(child)
    assert child.restart_if_ended()
    assert child.ending == "was killed by signal 9"


def test_restarts_come_later_and_later_until_it_was_healthy(make: Make, moment: Time) -> None:
    """A part that keeps ending is shown; a minute of health forgives all that was before."""
    child = make(1)
    assert [waits(child, moment) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    log = child.log
    assert child.note == f"part exited with status 1 (It broke.) and has been restarted 8 times in a row (log: {log})"
    moment.now += HEALTHY_SECONDS
    assert child.note is None
    assert [waits(child, moment) for _ in range(3)] == [0, 1, 2]


def test_a_part_that_waits_for_its_restart_is_shown(make: Make, moment: Time) -> None:
    """With its last words and where to read more."""
    child = make(1)
    waits(child, moment)
    has_ended(child)
    assert not child.restart_if_ended()
    assert child.note == f"part exited with status 1 (It broke.) and will be restarted (log: {child.log})"


def test_a_part_that_cannot_be_started_is_tried_again(make: Make, moment: Time) -> None:
    """A log that cannot be written, as on a full disk, is no end of whoever supervises it."""
    child = make(1)
    has_ended(child)
    writable, child.log = child.log, Path("/dev/null/part.log")
    for _ in range(3):
        assert not child.restart_if_ended()
        assert child.ending.startswith("could not be started (")
        moment.now += MAX_BACKOFF_SECONDS
    assert child.keeps_ending
    child.log = writable
    assert child.restart_if_ended()


def test_a_refusal_ends_a_part_for_good(make: Make) -> None:
    """A key that was refused will be refused again; the same status of another part says nothing."""
    child = make(1, "The key is wrong.", terminal_exit=True)
    has_ended(child)
    assert not child.restart_if_ended()
    assert (child.failed, child.note) == (True, "part has stopped: The key is wrong.")
    assert not make(1).failed


@pytest.mark.parametrize(("status", "note"), [(0, None), (1, "part exited with status 1 (It broke.)")])
def test_what_runs_once_is_not_started_again(make: Make, status: int, note: str | None) -> None:
    """Its failure stays visible, unless whoever started it looks at the failure itself."""
    child = make(status, once=True)
    has_ended(child)
    assert not child.restart_if_ended()
    assert (child.runs, child.note) == (False, note)
    refused = make(1, once=True, terminal_exit=True)
    has_ended(refused)
    assert (refused.failed, refused.note) == (True, None)


def test_a_large_log_is_rotated_at_the_next_start(make: Make) -> None:
    """One old log is kept."""
    child = make(0)
    has_ended(child)
    assert child.log
    child.log.write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    assert child.restart_if_ended()
    has_ended(child)
    assert child.log.read_text() == "It broke.\n"
    assert child.log.with_suffix(".log.1").stat().st_size == MAX_LOG_BYTES + 1


def test_a_part_is_never_made_less_nice_than_it_would_be() -> None:
    """Only root may, and for others the start failed."""
    program = """
import os, sys
from candleworks.processes import Child
os.nice(15)
child = Child("part", [sys.executable, "-c", "import time; time.sleep(60)"], niceness=10)
child.start()
print(os.getpriority(os.PRIO_PROCESS, child.pid))
os.kill(child.pid, 9)
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "15\n"


@pytest.mark.parametrize(("program", "killed"), [("", 0), ("signal.signal(signal.SIGTERM, signal.SIG_IGN);", 1)])
def test_processes_are_ended_within_a_deadline(program: str, killed: int) -> None:
    """By force when they ignore SIGTERM; their exit status is left to whoever started them."""
    command = f"import signal, time; {program} print(flush=True); time.sleep({SECONDS})"
    process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    found = find_process(process.pid)
    assert found
    assert len(end_processes([found], 1.0)) == killed
    assert process.wait(SECONDS) == (-signal.SIGKILL if killed else -signal.SIGTERM)
    assert find_process(process.pid) is None


def test_a_full_disk_does_not_prevent_a_start(tmp_path: Path) -> None:
    """The lock works without the process number that its file would name."""
    lock = tmp_path / "up.lock"
    lock.symlink_to("/dev/full")
    with (
        single_instance(lock, "unused"),
        pytest.raises(UsageError, match="Running already"),
        single_instance(lock, "Running already."),
    ):
        pass


def test_a_lock_file_that_cannot_be_created_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And only a warning for what must run whatever the disk is like."""
    (tmp_path / "home").write_text("no directory")
    lock = tmp_path / "home" / "up.lock"
    with pytest.raises(FileExistsError), single_instance(lock, "unused"):
        pass
    with single_instance(lock, "unused", required=False):
        assert f"The lock file {lock} cannot be created (File exists)" in caplog.text


def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    """With the process number of the first one; the lock is free again when that is over."""
    lock = tmp_path / "run" / "up.lock"
    for _ in range(2):
        with single_instance(lock, "unused"):
            with pytest.raises(UsageError) as refused, single_instance(lock, "Running already (process {pid})."):
                pass
            assert str(refused.value) == f"Running already (process {os.getpid()})."
