"""The shape of the code: short functions, one meaning per name, plain words, and packages that a newcomer can name."""

import ast
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for folder in ("candleworks", "flows") for path in (ROOT / folder).rglob("*.py"))
LONGEST_FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 6
LONGEST_MODULE_LINES = 340
SMALL_MODULE_LINES = 80
SMALL_MODULES_SHARE = 0.25

# Words that people who trade and operate do not use, each with the one to write instead.
UNUSUAL = {
    r"holes?": "gap",
    r"booked": "recorded",
    r"roster": "subscriptions",
    r"is no (valid )?(time|length|address|symbol|number|mapping|moment|connection)": "is not a valid ...",
    r"told|heard": "reported, notified, passed or received",
    r"speaks? for": "inhibits",
    r"well again": "resolved",
    r"(un)?mute[ds]?": "silence",
    r"broke": "error",
    r"twice-told": "ambiguous",
    r"go(es)? on where": "resumes",
    r"troubles?": "problem, alert or failure",
    r"mend(s|ed|ing)?|put (that |it )?right": "fix, correct or repair",
}


def functions() -> Iterator[tuple[str, int]]:
    """Every function with the number of its lines."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_functions_are_short() -> None:
    """None has more than 60 lines, and half of them have six or fewer."""
    lengths = dict(functions())
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION_LINES} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION_LINES


def test_modules_are_neither_crumbs_nor_novels() -> None:
    """Fewer than a quarter has under 80 lines, and none is longer than a person reads at a sitting."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in MODULES
        if path.name not in {"__init__.py", "__main__.py"}
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE_LINES} == {}
    small = [name for name, lines in lengths.items() if lines < SMALL_MODULE_LINES]
    assert len(small) / len(lengths) < SMALL_MODULES_SHARE, small


def test_a_class_name_means_one_thing() -> None:
    """No two classes of the library and the flows share a name."""
    found = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def texts(path: Path) -> Iterator[str]:
    """What of a file a person may read: its strings and docstrings, or all of it where it is prose."""
    if path.suffix != ".py":
        yield path.read_text()
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


PROSE = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "decisions"),
    *sorted((ROOT / "sql").rglob("*.sql")),
    *sorted((ROOT / "grafana").rglob("*.json")),
    ROOT / "prefect.yaml",
]


def test_words_are_the_usual_ones() -> None:
    """Messages, help texts and pages use the words of the field."""
    patterns = {re.compile(rf"\b({unusual})\b", re.IGNORECASE): better for unusual, better in UNUSUAL.items()}
    found = [
        f"{path.relative_to(ROOT)}: {match.group()!r} in {text[max(0, match.start() - 40) : match.end() + 40]!r}:"
        f" write {better!r}"
        for path in [*MODULES, *PROSE]
        for text in texts(path)
        for pattern, better in patterns.items()
        for match in pattern.finditer(text)
    ]
    assert found == [], "\n" + "\n".join(found)
