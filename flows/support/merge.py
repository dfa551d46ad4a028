"""Three-way merge: what was deployed last, what the files say now, and what Prefect holds now."""

from dataclasses import dataclass
from typing import Any

Tree = dict[str, Any]


class _Missing:
    """In the place of a key that is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Difference:
    """A field in which Prefect keeps another value than the files say.

    In a `conflict` both have changed since the last deployment; without one only a person has changed it in Prefect.
    """

    path: str
    files: Any
    prefect: Any
    conflict: bool


def merge(base: Tree, files: Tree, prefect: Tree) -> tuple[Tree, list[Difference]]:
    """Take what the files changed since `base`, and keep what was changed in Prefect, also where both were."""
    return _merge_trees("", base, files, prefect)


def _merge_trees(path: str, base: Tree, files: Tree, prefect: Tree) -> tuple[Tree, list[Difference]]:
    merged: Tree = {}
    differences: list[Difference] = []
    for key in {**prefect, **files}:
        value, found = _merge(f"{path}{key}", *(each.get(key, MISSING) for each in (base, files, prefect)))
        differences += found
        if value is not MISSING:
            merged[key] = value
    return merged, differences


def _merge(path: str, base: Any, files: Any, prefect: Any) -> tuple[Any, list[Difference]]:
    if isinstance(files, dict) and isinstance(prefect, dict):
        return _merge_trees(f"{path}.", base if isinstance(base, dict) else {}, files, prefect)
    if prefect in (base, files):
        return files, []
    return prefect, [Difference(path, files, prefect, conflict=files != base)]
