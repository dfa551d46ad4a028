"""The platform of docker-compose.yml in a real engine, with a simulator that keeps a journal of what it sends."""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import OperationalError

from candleworks.database.connection import connect
from candleworks.errors import CandleworksError
from tests.acceptance.ledger import Account, Ledger
from tests.acceptance.platform import free_port
from tests.compose.command import DOCKER_COMPOSE
from tests.feed.streaming import count

ROOT = Path(__file__).parents[2]
SERVICE_PATIENCE_SECONDS = 600
RATE = 200
LOAD_SECONDS = 10  # of ticks before they are counted
SYMBOLS = ("AAPL", "MSFT", "BTC/USD", "ETH/USD", "EUR/USD")
LASTING = ("timescaledb", "simulator", "prefect-server", "worker", "watch", "web", "grafana")
_JOURNALLING = f"exec candleworks simulate --host 0.0.0.0 --rate {RATE} --journal /journal/$$(date +%s%N)"


@dataclass
class Containers:
    """One project of Docker Compose below `directory`; `image` is that of candleworks."""

    directory: Path
    image: str = "candleworks:local"
    project: str = "candleworks-test"
    feed: dict[str, object] = field(default_factory=lambda: {"backfill_days": 1})
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.directory / "journal").mkdir(mode=0o777)
        (self.directory / "journal").chmod(0o777)  # the simulator runs as another user
        ports = ("DATABASE_PORT", "CANDLEWORKS_WEB_PORT", "CANDLEWORKS_PREFECT_PORT", "CANDLEWORKS_GRAFANA_PORT")
        self.variables |= {name: str(free_port()) for name in ports}
        lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line and line[0] != "#"]
        example = dict(line.split("=", 1) for line in lines)
        self.variables |= {name: f"made-up-{name.lower()}" for name in example if name.endswith("_PASSWORD")}
        configuration = {"feeds": [{"symbols": SYMBOLS, "name": "twelvedata", **self.feed}]}
        (self.directory / "candleworks.yaml").write_text(json.dumps(configuration))
        self.change()

    def change(self, **services: object) -> None:
        """Write .env, and the additions to docker-compose.yml: the journal, and those of `services`."""
        (self.directory / ".env").write_text("".join(f"{name}={value}\n" for name, value in self.variables.items()))
        mounted = [f"{self.directory}/candleworks.yaml:/etc/candleworks/candleworks.yaml:ro"]
        ours = ("migrate", "deploy", "worker", "watch", "web")
        changed: dict[str, object] = {name: {"image": self.image, "volumes": mounted} for name in ours}
        journal = [f"{self.directory}/journal:/journal"]
        changed["simulator"] = {"image": self.image, "command": ["sh", "-c", _JOURNALLING], "volumes": journal}
        volumes = services.pop("volumes", {})
        for name, more in services.items():
            changed[name] = {**changed.get(name, {}), **more}  # type: ignore[dict-item]
        (self.directory / "override.yml").write_text(json.dumps({"services": changed, "volumes": volumes}))

    def compose(self, *arguments: str, check: bool = True, env_file: bool = True) -> subprocess.CompletedProcess[str]:
        files = ["--file", str(ROOT / "docker-compose.yml"), "--file", str(self.directory / "override.yml")]
        env = ["--env-file", str(self.directory / ".env" if env_file else os.devnull)]
        command = [str(DOCKER_COMPOSE), "--project-name", self.project, "--progress", "plain", *env, *files, *arguments]
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr[-2000:]
        return done

    def up(self, *services: str) -> float:
        """Start the services; how many seconds until all of them answered and the first new tick was stored."""
        began = time.monotonic()
        self.compose("up", "--detach", "--no-build", *services)
        self.streams()
        return time.monotonic() - began

    def streams(self) -> float:
        """Wait until something new is stored; how many seconds that took."""
        began, before = time.monotonic(), None
        while True:
            now = self._stored()
            before = now if before is None else before
            if now is not None and before is not None and now > before:
                return time.monotonic() - began
            assert time.monotonic() - began < SERVICE_PATIENCE_SECONDS, self.logs("worker")[-3000:]
            time.sleep(0.1)

    def healthy(self, *services: str) -> float:
        """Wait until these services, or all with a health check, are healthy; how many seconds that took."""
        began = time.monotonic()
        while wrong := {name: state for name, state in self.states().items() if name in (services or LASTING)}:
            if all(state in ("running", "healthy") for state in wrong.values()):
                break
            assert time.monotonic() - began < SERVICE_PATIENCE_SECONDS, wrong
            time.sleep(0.5)
        return time.monotonic() - began

    def states(self) -> dict[str, str]:
        """The health of every service, or its state where it has no health check or has ended."""
        lines = self.compose("ps", "--all", "--format", "json").stdout.splitlines()
        found = [json.loads(line) for line in lines]
        return {each["Service"]: each["Health"] or each["State"] for each in found}

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", *services).stdout

    def kill(self, service: str) -> None:
        """Kill the first process of a container as a crash would: after `docker kill` it is not started again."""
        container = self.compose("ps", "--quiet", service).stdout.strip()
        inspect = [str(shutil.which("docker")), "inspect", "--format", "{{.State.Pid}}", container]
        os.kill(int(subprocess.run(inspect, capture_output=True, text=True, check=True).stdout), signal.SIGKILL)

    @property
    def dsn(self) -> str:
        password, port = self.variables["POSTGRES_PASSWORD"], self.variables["DATABASE_PORT"]
        return f"postgresql://postgres:{password}@127.0.0.1:{port}/candleworks"

    def account(self) -> Account:
        """Stop the simulator and then the worker, and account for every tick that was sent; start them again."""
        self.streams()
        time.sleep(LOAD_SECONDS)
        self.compose("stop", "simulator")
        time.sleep(2)
        self._spool_stored()
        self.compose("stop", "worker")
        sent = self.directory / "sent"
        journals = sorted((self.directory / "journal").iterdir())
        sent.write_bytes(
            b"".join(path.read_bytes().rpartition(b"\n")[0] + b"\n" for path in journals if path.stat().st_size)
        )
        with connect(self.dsn) as connection:
            account = Ledger(sent, connection).account()
        self.compose("start", "simulator", "worker")
        return account

    def _spool_stored(self) -> None:
        """Wait until no more of what was sent is being stored: a slow machine may still have some of it on disk."""
        before = None
        while (now := self._stored()) is None or now != before:
            before = now
            time.sleep(5)

    def audit(self) -> str:
        """Compare every candle with its ticks; the last line of the audit."""
        done = self.compose("run", "--rm", "--no-deps", "migrate", "candleworks", "candles", "audit", check=False)
        return (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]

    def _stored(self) -> int | None:
        try:
            with connect(self.dsn) as connection:
                return count(connection)
        except (OperationalError, CandleworksError, OSError):
            return None
