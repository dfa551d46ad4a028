"""What the tests of the command line share."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from candleworks.cli.main import main
from tests.cli.commands import Ended
from tests.conftest import clone

Invoke = Callable[..., Ended]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Invoke]:
    """Runs a short command in this process, which spares the half second that a process needs to start."""
    for name in [name for name in os.environ if name.startswith(("CANDLEWORKS_", "TWELVEDATA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **variables: object) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["candleworks", *arguments])
            for name, value in ({"CANDLEWORKS_HOME": tmp_path / "home"} | variables).items():
                patch.setenv(name, str(value))
            with pytest.raises(SystemExit) as ended:
                main()
        output, errors = capfd.readouterr()
        return Ended(int(ended.value.code or 0), output, errors)

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def empty_dsn(server_dsn: str) -> Iterator[str]:
    """An empty database that was never migrated."""
    with clone(server_dsn) as dsn:
        yield dsn
