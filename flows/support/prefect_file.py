"""prefect.yaml: the one in the working directory, or the one that comes with candleworks."""

import logging
from collections.abc import Iterator
from pathlib import Path

import yaml

from candleworks.errors import TerminalError
from flows.support.deployments import Tree
from flows.support.run_labels import STREAM_FLOW

NAME = "prefect.yaml"

log = logging.getLogger("candleworks.deploy")


def read_prefect_file() -> Tree:
    """Return the content of the file; TerminalError when it cannot be used.

    A file without streams in the working directory belongs to another project and is left out.
    """
    for path in _places():
        content = _content(path)
        if isinstance(content, dict) and any(map(_is_stream, content.get("deployments") or [])):
            return content
        log.warning("%s has no deployment of %s: it is not used.", path.resolve(), STREAM_FLOW)
    raise TerminalError(f"There is no {NAME} in {Path.cwd()}, and none was installed: install candleworks again.")


def _places() -> Iterator[Path]:
    """Yield the files there are: in the working directory, in the installed package, and beside it in a clone."""
    package = Path(__file__).parents[1]
    for directory in (Path(), package, package.parent):
        if (directory / NAME).is_file():
            yield directory / NAME


def _content(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise TerminalError(f"{path.resolve()} cannot be read ({reason}): correct it, or remove it.") from None


def _is_stream(entry: object) -> bool:
    return isinstance(entry, dict) and str(entry.get("name")).startswith(f"{STREAM_FLOW}-")
