"""What the image of the containers omits, and that its processes do not need it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OMITTED = [line for line in (ROOT / "docker/omitted.txt").read_text().splitlines() if not line.startswith("#")]
FLOWS = sorted(f"flows.{path.stem}" for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__")
COMMANDS = sorted(f"candleworks.cli.{path.stem}" for path in (ROOT / "candleworks/cli").glob("*.py"))
OTHERS = [
    "candleworks.web.server",
    "candleworks.simulate.server",
    "candleworks.quality.expectations",
    "flows.support.worker",
]
WITHOUT = """
import sys
class Omitted:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {omitted}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Omitted())
"""


def without_omitted(program: str, *arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as in the image, where nothing of what is omitted can be imported."""
    names = {name.replace("-", "_") for name in OMITTED}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(omitted=names) + program, *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "CANDLEWORKS_HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_flows_and_commands_can_be_loaded(tmp_path: Path) -> None:
    """Those that read and write files, too: they say so when they are run."""
    program = "import importlib\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    loaded = without_omitted(program, *FLOWS, *COMMANDS, *OTHERS, directory=tmp_path)
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.parametrize("command", [("import", "a.csv"), ("export", "candles_1m")])
def test_files_need_the_other_image(tmp_path: Path, command: tuple[str, ...]) -> None:
    """In one line, which names the service."""
    program = "from candleworks.cli.main import main\nmain()\n"
    refused = without_omitted(program, *command, directory=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert re.fullmatch(
        r"Files cannot be read or written here, because (polars|pyarrow) is not installed: install it, or with"
        r" containers run `docker compose run --rm files candleworks \.\.\.`\.\n",
        refused.stderr,
    )


def test_great_expectations_gets_no_scipy(tmp_path: Path) -> None:
    """Nor altair, and nobody else is given an empty module in their place."""
    program = (
        "import candleworks.quality.gx\n"
        "assert not {'scipy', 'scipy.stats', 'altair'} & set(sys.modules)\n"
        "from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as needs_them\n"
        "assert not hasattr(needs_them.stats, 'entropy')\n"
    )
    done = without_omitted(program, directory=tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_is_omitted_is_installed_otherwise() -> None:
    """A misspelt name would be passed over in silence."""
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert set(OMITTED) <= set(pinned)
