"""The pages of the documentation and the code blocks in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<mark>not run|engine): (?P<said>[^>]*) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """`not_run` is the reason why the tests cannot run it, `engine` the only engine that it is about."""

    page: str
    line: int
    language: str
    text: str
    not_run: str | None
    engine: str | None


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks in their order, without the indentation of a list."""
    content = page.read_text()
    for found in _BLOCK.finditer(content):
        text = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        said = {found["mark"]: found["said"]}
        line = content.count("\n", 0, found.start()) + 1
        yield Block(name(page), line, found["language"], text, said.get("not run"), said.get("engine"))
