"""Reads a small text file whole."""

from dataclasses import dataclass
from pathlib import Path

from candleworks.errors import TerminalError
from candleworks.imports.files import Source


@dataclass(frozen=True)
class TextFile:
    """A file's content. `sha256` is that of the unpacked file; `text` is UTF-8 without a mark."""

    path: Path
    sha256: str
    text: bytes


def read_text(path: Path) -> TextFile:
    """Return the file's text; TerminalError when it is missing, empty, broken or in another encoding."""
    with Source(str(path), path).opened() as content:
        if content.kind != "text":
            raise TerminalError(f"{path} is a {content.kind} file: a text is expected.")
        return TextFile(path, content.sha256, content.path.read_bytes()[content.start :])
