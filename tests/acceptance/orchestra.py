"""A real Prefect server and real workers, looked at through Prefect's API as people and programs do."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import yaml

from candleworks.database.server import database, prefect_database
from candleworks.runtime.prefect import DATABASE_VARIABLE, prefect_environment
from candleworks.settings import load_settings
from tests.acceptance.platform import free_port
from tests.cli.commands import environment
from tests.feed.streaming import until
from tests.serving import in_background

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90
FEED = "twelvedata"
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Run:
    """A flow run as Prefect tells it now."""

    id: str
    name: str
    type: str
    state: str
    message: str | None
    pid: int | None
    auto_scheduled: bool


@dataclass
class Orchestra:
    """A Prefect server with its home in `directory`; `start` and `stop` may be repeated."""

    directory: Path
    database_url: str
    port: int = field(default_factory=free_port)
    server: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self, **more: object) -> dict[str, str]:
        settings = load_settings({"CANDLEWORKS_HOME": str(self.directory), "CANDLEWORKS_PREFECT_PORT": str(self.port)})
        prefect = {**prefect_environment(settings), DATABASE_VARIABLE: self.database_url}
        found = {**environment(), **prefect, **more}
        return {name: str(value) for name, value in found.items() if value is not None}

    def module(self, name: str, *arguments: str, log: str, cwd: Path = ROOT, **more: object) -> subprocess.Popen[bytes]:
        with (self.directory / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", f"flows.support.{name}", *arguments],
                cwd=cwd,
                env=self.variables(**more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> None:
        self.server = self.module("server", str(self.port), log="server.log")
        until(self.answers, PATIENCE_SECONDS)

    def stop(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()

    def answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.address}/api/health").is_success
        return False

    def ask(self, method: str, path: str, json: object = None, **body: object) -> Any:
        answer = httpx.request(method, f"{self.address}/api{path}", json=json or body or None, timeout=120)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def deploy(self, cwd: Path = ROOT, **more: object) -> None:
        done = self.module("deploy", log="deploy.log", cwd=cwd, **more).wait(PATIENCE_SECONDS)
        assert done == 0, (self.directory / "deploy.log").read_text()

    def automate(self, **more: object) -> None:
        """Save the automations alone, as a deployment does at its end."""
        program = "from flows.support.automations import automate; automate()"
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=self.variables(**more), check=True)

    @contextmanager
    def worker(
        self, dsn: str, feed_url: str, *arguments: str, cwd: Path = ROOT, **more: object
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker whose runs stream from `feed_url` into `dsn`; nothing of it is left afterwards."""
        home = self.directory / "home"
        settings = {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_FEED_URL": feed_url, "CANDLEWORKS_HOME": home, **more}
        process = self.module("worker", *arguments, log="worker.log", cwd=cwd, **settings)
        try:
            yield process
        finally:
            stop(process)

    def tell(self, event: str, resource: str) -> None:
        """Emit an event as a run does."""
        found = {"prefect.resource.id": resource, "prefect.resource.name": resource.split(".", 2)[2]}
        told = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": event, "resource": found}
        self.ask("POST", "/events", json=[told | {"payload": {"observed": "99 s"}}])

    def deployment(self, name: str = f"stream-ticks/stream-ticks-{FEED}") -> str:
        found: str = self.ask("GET", f"/deployments/name/{name}")["id"]
        return found

    def runs(self, deployment: str) -> list[Run]:
        """Its runs, newest first."""
        found = self.ask(
            "POST",
            "/flow_runs/filter",
            deployments={"id": {"any_": [deployment]}},
            sort="EXPECTED_START_TIME_DESC",
            limit=100,
        )
        return [_run(each) for each in found]

    def run(self, run_id: str) -> Run:
        return _run(self.ask("GET", f"/flow_runs/{run_id}"))

    def create(self, deployment: str) -> str:
        """Start a run as the button in Prefect's page does."""
        found: str = self.ask("POST", f"/deployments/{deployment}/create_flow_run", state={"type": "SCHEDULED"})["id"]
        return found

    def cancel(self, run_id: str) -> None:
        """Cancel a run as the button in Prefect's page does."""
        self.set_state(run_id, force=True, type="CANCELLING", name="Cancelling")

    def suspend(self, run_id: str, seconds: float = 300) -> None:
        """Suspend a run as the button in Prefect's page does, which proposes five minutes."""
        until_then = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        details = {"pause_timeout": until_then, "pause_reschedule": True}
        self.set_state(run_id, force=True, type="PAUSED", name="Suspended", state_details=details)

    def pause(self, run_id: str) -> None:
        """Pause a run as `pause_flow_run()` does: its process is expected to wait."""
        self.set_state(run_id, force=False, type="PAUSED", name="Paused", state_details={"pause_reschedule": False})

    def resume(self, run_id: str) -> None:
        """Resume a run as the button in Prefect's page does."""
        self.ask("POST", f"/flow_runs/{run_id}/resume")

    def retry(self, run_id: str) -> None:
        """Retry a run as the button in Prefect's page does."""
        self.set_state(run_id, force=False, type="SCHEDULED", name="AwaitingRetry", message="Retry from the UI")

    def set_state(self, run_id: str, *, force: bool, **state: object) -> None:
        self.ask("POST", f"/flow_runs/{run_id}/set_state", state=state, force=force)

    def running(self, deployment: str, but: str | None = None, seconds: float = PATIENCE_SECONDS) -> Run:
        """Wait for the run that streams."""
        found: list[Run] = []

        def look() -> bool:
            found[:] = [run for run in self.runs(deployment) if run.state == "Running" and run.id != but]
            return bool(found) and found[0].pid is not None

        until(look, seconds)
        return found[0]

    def ends(self, run_id: str, seconds: float = PATIENCE_SECONDS) -> Run:
        until(lambda: self.run(run_id).type in FINAL, seconds)
        return self.run(run_id)


def _run(found: dict[str, Any]) -> Run:
    state = found["state"]
    pid = found["infrastructure_pid"]
    return Run(
        found["id"],
        found["name"],
        state["type"],
        state["name"],
        state["message"],
        int(pid) if pid else None,
        found["auto_scheduled"],
    )


@contextmanager
def orchestra(directory: Path) -> Iterator[Orchestra]:
    """A Prefect server on a PostgreSQL of its own, as under `up`, for the length of a `with` block."""
    settings = load_settings({"CANDLEWORKS_HOME": str(directory / "prefect-server")})
    with database(settings) as dsn, prefect_database(settings, dsn) as state:
        found = Orchestra(directory, state.url)
        try:
            found.start()
            yield found
        finally:
            found.stop()


def stop(process: subprocess.Popen[bytes]) -> float:
    """Send SIGTERM, as `docker compose stop` does; return how long the end took, and leave nothing behind."""
    began = time.monotonic()
    if process.poll() is not None:
        return 0.0
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    finally:
        for left in (process, *children):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                left.kill()
    return time.monotonic() - began


def place(directory: Path, **symbols: str) -> Path:
    """A worker's directory: a configuration of feeds with one symbol each, and deployments with a queue for each."""
    directory.mkdir()
    feeds = [{"name": feed, "symbols": [symbol]} for feed, symbol in symbols.items()]
    (directory / "candleworks.yaml").write_text(yaml.safe_dump({"feeds": feeds}))
    content = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    template = content["deployments"][0]
    streams = [
        template
        | {"name": f"stream-ticks-{feed}", "parameters": {"feed": feed}}
        | {"work_pool": template["work_pool"] | {"work_queue_name": feed}}
        for feed in symbols
    ]
    content["deployments"] = streams + content["deployments"][1:]
    (directory / "prefect.yaml").write_text(yaml.safe_dump(content))
    return directory


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that JSON can be posted to, and what was."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - overrides
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server, in_background(server):
        yield f"http://127.0.0.1:{server.server_port}/", received


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def long_proofs() -> bool:
    return "CANDLEWORKS_LONG_PROOFS" in os.environ
