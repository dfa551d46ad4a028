"""Named SQL from `sql/queries/*.sql`: each query starts with a line `-- name: NAME`."""

import re
from functools import cache
from pathlib import Path

_HEADER = re.compile(r"^-- name: ([a-z_]+)\n", re.MULTILINE)


def sql_directory() -> Path:
    """Return the directory of the SQL files: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parent.parent
    installed = package / "_sql"
    return installed if installed.is_dir() else package.parent / "sql"


@cache
def query(name: str) -> str:
    """Return the SQL called `name`; KeyError when there is none."""
    return _all_queries()[name]


@cache
def _all_queries() -> dict[str, str]:
    queries: dict[str, str] = {}
    for path in sorted((sql_directory() / "queries").glob("*.sql")):
        _, *parts = _HEADER.split(path.read_text())
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in queries:
                raise ValueError(f"The query name {name} is used twice in {path.parent}: rename one.")
            queries[name] = text.strip()
    return queries
