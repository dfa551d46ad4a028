"""Every page of the documentation can be found, and everything that it points to exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, name

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
MENTION = re.compile(r"\bdocs/(?!current/)[A-Za-z0-9_./-]*[A-Za-z0-9_-]")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Each relative link as a path and an anchor, which may be empty."""
    for target in LINK.findall(re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)):
        path, _, anchor = target.partition("#")
        yield ((page.parent / path).resolve() if path else page), anchor


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of the repository and, where it names one, to a heading in it."""
    for path, anchor in links(page):
        assert path.exists(), path
        assert not anchor or anchor in anchors(path), f"{name(path)}#{anchor}"


def test_every_page_can_be_reached_from_the_index() -> None:
    """By following links; a link to a directory leads to all pages in it."""
    found: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page.is_dir():
            waiting += page.glob("*.md")
        elif page.suffix == ".md" and page not in found:
            found.add(page)
            waiting += [path for path, _ in links(page)]
    assert {name(page) for page in PAGES} - {name(page) for page in found} == set()


def test_every_page_that_is_mentioned_in_the_code_exists() -> None:
    """A decision may be mentioned by its number alone."""
    directories = [ROOT / part for part in ("candleworks", "flows", "sql", "grafana", "docker", "bench", "tests")]
    files = [
        path
        for directory in directories
        for path in directory.rglob("*")
        if path.suffix in {".py", ".sql", ".yaml", ".sh"}
    ]
    files += [ROOT / each for each in ("Makefile", "Dockerfile", "docker-compose.yml", "prefect.yaml", ".env.example")]
    mentioned = {mention for path in files for mention in MENTION.findall(path.read_text())}
    assert mentioned
    assert [mention for mention in sorted(mentioned) if not list(ROOT.glob(f"{mention}*"))] == []
