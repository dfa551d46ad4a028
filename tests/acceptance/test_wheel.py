"""candleworks as it is installed from its wheel, without a clone."""

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.acceptance.platform import Platform, end, free_port
from tests.cli.commands import environment
from tests.feed.streaming import until

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 100
LICENCES = ["LICENSE", "candleworks/web/assets/lightweight-charts/LICENSE"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the source distribution; the wheel is built from the unpacked source."""
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", directory, cwd=ROOT)
    [source] = directory.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(directory, filter="data")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=unpacked(directory))
    return directory


def unpacked(directory: Path) -> Path:
    [found] = (path for path in directory.iterdir() if path.is_dir())
    return found


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the present dependencies, but for candleworks itself.

    The directory of a line in a .pth file is searched, and its own .pth files, one of which names this clone, are not
    read.
    """
    directory = tmp_path_factory.mktemp("fresh") / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    [wheel] = built.glob("*.whl")
    run(sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--python", directory, wheel)
    [packages] = directory.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return directory


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(*paths: str) -> list[str]:
    """The files of the repository below these paths."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone: what belongs to the repository is not known")
    return run("git", "ls-files", *paths, cwd=ROOT).splitlines()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty directory, but for modules of its owner that have the names of ours; its path has spaces."""
    for package in ("flows", "candleworks"):
        (tmp_path / "market data" / package).mkdir(parents=True)
        (tmp_path / "market data" / package / "__init__.py").write_text("raise SystemExit('not this one')\n")
    return tmp_path / "market data"


@contextmanager
def up(installed: Path, directory: Path) -> Iterator[Platform]:
    """`candleworks up`, with no other settings than its ports."""
    port, prefect_port = free_port(), free_port()
    process = subprocess.Popen(
        [installed / "bin/candleworks", "up"],
        cwd=directory,
        env=environment(CANDLEWORKS_WEB_PORT=port, CANDLEWORKS_PREFECT_PORT=prefect_port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Platform(process, directory / ".candleworks", port, prefect_port)
    running.read()
    try:
        yield running
    finally:
        if process.poll() is None:
            running.stop(15)
        end(running.home)


def states(platform: Platform) -> list[str]:
    """The states of the stream's runs, as Prefect's API has them."""
    try:
        found = platform.prefect("/flow_runs/filter", flows={"name": {"any_": ["stream-ticks"]}})
    except (httpx.TransportError, FileNotFoundError):
        return []
    return [run["state_name"] for run in found]


@pytest.mark.timeout(300)
def test_up_streams_under_prefect_in_an_empty_directory(installed: Path, directory: Path) -> None:
    """Ticks arrive, and the run that streams them is one of Prefect's; other commands find the same database."""
    program = installed / "bin/candleworks"
    with up(installed, directory) as platform:
        until(lambda: "Running" in states(platform) or platform.process.poll() is not None, PATIENCE_SECONDS)
        platform.flows()
        assert f'psql "$({program} dsn)"' in platform.output
        assert run(program, "dsn", cwd=directory).startswith("postgresql://postgres@/candleworks?host=")
        assert '"ticks_stored": 0' not in run(program, "status", "--json", cwd=directory)
    assert platform.process.returncode == 0, platform.output


def test_the_wheel_has_every_file_that_is_read(built: Path) -> None:
    """SQL, dashboards, deployments, the page, types and licences: as many as the repository has."""
    [wheel] = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in tracked("sql", "grafana", "candleworks", "flows", "prefect.yaml"):
        place = name.replace("sql/", "candleworks/_sql/", 1) if name.startswith("sql/") else name
        place = name.replace("grafana/", "candleworks/_grafana/", 1) if name.startswith("grafana/") else place
        assert ("flows/prefect.yaml" if name == "prefect.yaml" else place) in names
    assert {"candleworks/py.typed", "flows/py.typed"} <= names
    assert {name.partition("/licenses/")[2] for name in names if "/licenses/" in name} >= set(LICENCES)


def test_the_source_has_what_its_makefile_needs(built: Path) -> None:
    """`make setup`, `make test` and `make lint` work in it as in a clone."""
    source = unpacked(built)
    assert [name for name in tracked() if not (source / name).exists()] == []
