"""What people do to a stream in Prefect's page, in every order: it ends with one stream or none, as they asked."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psutil
import pytest
import yaml

from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from candleworks.simulate import running_simulator
from candleworks.storage.feeds import read_feed_locks
from flows.support.deploy import POOL
from tests.acceptance.orchestra import Orchestra, Run, orchestra, place
from tests.feed.streaming import until

pytestmark = [pytest.mark.timeout(900), pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)]
KEEPER_SECONDS = 7  # it looks every five
RUNNER_SECONDS = 20.0  # what Prefect's runner may take to see the end of a process
CANCELLED = "Flow run was cancelled successfully."
PATIENCE_SECONDS = 240
ANYTHING, REFUSED = -1, -2
AGAIN = [("run", 1), ("suspend", 0)]
# What is done one after the other, and how many streams there are then. REFUSED: one, which is not the one asked for.
SCRIPTS: dict[str, list[tuple[str, int]]] = {
    "suspended": [("suspend", 0), ("resume", 1), ("suspend", 0), ("resume", ANYTHING), ("cancel pending", 0), *AGAIN],
    "resumed": [("suspend", ANYTHING), ("resume", 1), ("cancel", 0), ("resume", 0), ("retry", 1)],
    "cancelled": [("cancel", 0), ("run", 1), ("suspend", 0), ("cancel", 0)],
    "twice": [("run", REFUSED), ("suspend", 0), ("run", 1), ("resume first", REFUSED), ("retry first", REFUSED)],
    "paused": [("pause", 0), ("resume", 1), ("pause deployment", 1), ("cancel", 0), ("unpause deployment", 0)],
    "queued": [("pause queue", 1), ("suspend", 0), ("resume", 0), ("unpause queue", 1)],
    "deleted": [("delete", 1), ("cancel", 0)],
}
BEGIN = ("wait", 1)
ALONE = [("pause pool", 0), ("run", 0), ("unpause pool", 1)]  # it concerns all feeds
SYMBOLS = ("AAPL", "MSFT", "TSLA", "BTC/USD", "ETH/USD", "EUR/USD", "XAU/USD")


class Hand:
    """Somebody who handles one feed in Prefect's page."""

    def __init__(self, prefect: Orchestra, dsn: str, feed: str) -> None:
        self.prefect, self.dsn, self.feed = prefect, dsn, feed
        self.deployment = prefect.deployment(f"stream-ticks/stream-ticks-{feed}")

    def runs(self) -> list[Run]:
        """Its runs, oldest first."""
        return self.prefect.runs(self.deployment)[::-1]

    def present(self) -> Run:
        """The run that streams or did so last."""
        runs = self.runs()
        return next((run for run in runs if run.state == "Running"), None) or next(
            run for run in reversed(runs) if run.state != "AlreadyStreaming"
        )

    def does(self, action: str) -> None:
        pool = f"/work_pools/{POOL}"
        queue = f"{pool}/queues/{self.feed}"
        actions: dict[str, Callable[[], object]] = {
            "run": lambda: self.prefect.create(self.deployment),
            "wait": lambda: None,
            "pause deployment": lambda: self.change(f"/deployments/{self.deployment}", paused=True),
            "unpause deployment": lambda: self.change(f"/deployments/{self.deployment}", paused=False),
            "pause queue": lambda: self.change(queue, is_paused=True),
            "unpause queue": lambda: self.change(queue, is_paused=False),
            "pause pool": lambda: self.change(pool, is_paused=True),
            "unpause pool": lambda: self.change(pool, is_paused=False),
            "resume first": lambda: self.prefect.resume(self.first()),
            "retry first": lambda: self.prefect.retry(self.first()),
            "cancel pending": self.cancel_before_it_begins,
            "delete": lambda: self.prefect.ask("DELETE", f"/flow_runs/{self.present().id}"),
        }
        for name in ("suspend", "resume", "cancel", "pause", "retry"):
            actions[name] = partial(self.on_present, name)
        actions[action]()

    def on_present(self, name: str) -> None:
        getattr(self.prefect, name)(self.present().id)

    def cancel_before_it_begins(self) -> None:
        until(lambda: self.present().type in {"PENDING", "RUNNING"}, PATIENCE_SECONDS)
        self.on_present("cancel")

    def change(self, path: str, **values: object) -> None:
        self.prefect.ask("PATCH", path, **values)

    def streams(self) -> int | None:
        """How many streams there are; null while Prefect, the processes and the database do not agree."""
        with connect(self.dsn) as connection:
            held = self.feed in read_feed_locks(connection, [self.feed]).locked
        runs = self.runs()
        going = [run for run in runs if run.type in {"RUNNING", "PENDING", "CANCELLING"}]
        processes = {run.pid for run in runs if run.pid and psutil.pid_exists(run.pid)}
        return len(going) if len(going) == len(processes) == held else None

    def plays(self, script: list[tuple[str, int]]) -> None:
        """Do everything, one after the other, each time until it has had its effect."""
        for action, expected in script:
            self.does(action)
            if expected == REFUSED:
                self.is_refused(self.runs()[-1].id if action == "run" else self.first())
            elif expected != ANYTHING:
                self.settles(action, expected)

    def first(self) -> str:
        return self.runs()[0].id

    def is_refused(self, run_id: str) -> None:
        """It says who streams, in a name and a state that tell what it is about."""
        streaming = self.present()
        until(lambda: self.prefect.run(run_id).state == "AlreadyStreaming", PATIENCE_SECONDS)
        refused = self.prefect.run(run_id)
        assert (refused.name, refused.type) == (f"stream {self.feed}", "CANCELLED")
        known = f"flow run '{streaming.name}' (process {streaming.pid}, since "
        message = refused.message or ""
        assert message.startswith(f"Feed {self.feed} is already being streamed by {known}")
        assert message.endswith(f"cancel that run first, at {self.prefect.address}/runs/flow-run/{streaming.id}")
        self.settles("refused", 1)

    def settles(self, action: str, expected: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.streams() != expected:
            assert time.monotonic() < deadline, (self.feed, action, expected, self.runs())
            time.sleep(0.5)
        if action == "cancel":
            self.waits_for_the_runner()

    def waits_for_the_runner(self) -> None:
        """Prefect's runner says Cancelled once more after the process has ended, and would undo a Retry until then."""
        deadline = time.monotonic() + RUNNER_SECONDS
        while self.present().message != CANCELLED and time.monotonic() < deadline:
            time.sleep(0.5)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orchestra]:
    """A server with a stream for each script, and nothing else."""
    directory = place(tmp_path_factory.mktemp("hands") / "here", **dict(zip(SCRIPTS, SYMBOLS, strict=True)))
    content: dict[str, Any] = yaml.safe_load((directory / "prefect.yaml").read_text())
    content["deployments"] = [each for each in content["deployments"] if each["name"].startswith("stream-ticks")]
    (directory / "prefect.yaml").write_text(yaml.safe_dump(content))
    with orchestra(tmp_path_factory.mktemp("prefect")) as found:
        found.deploy(directory)
        found.directory.joinpath("here").symlink_to(directory)
        yield found


def test_whatever_is_done_in_prefect_there_is_one_stream_or_none(prefect: Orchestra, dsn: str) -> None:
    """Suspend, Resume, Pause, Cancel, Retry, Run and Delete, and nothing changes afterwards by itself."""
    here = (prefect.directory / "here").resolve()
    with running_simulator(rate=20) as simulator, prefect.worker(dsn, simulator.feed_url, cwd=here):
        hands = {feed: Hand(prefect, dsn, feed) for feed in SCRIPTS}
        with ThreadPoolExecutor(len(SCRIPTS)) as threads:
            plays = [threads.submit(hand.plays, [BEGIN, *SCRIPTS[feed]]) for feed, hand in hands.items()]
        for play in plays:
            play.result()
        hands["deleted"].plays(ALONE)
        time.sleep(KEEPER_SECONDS)
        expected = {feed: script[-1][1] for feed, script in SCRIPTS.items()} | {"twice": 1, "deleted": 1}
        assert {feed: hand.streams() for feed, hand in hands.items()} == expected
        assert stops(dsn) == {
            "suspended": "suspended in Prefect",
            "cancelled": "suspended in Prefect",
            "paused": "cancelled in Prefect",
        }


def stops(dsn: str) -> dict[str, str]:
    with connect(dsn) as connection:
        return dict(connection.execute("SELECT feed, reason FROM feed_stops WHERE deliberate").fetchall())
