"""Reads a text file whole, gzip or plain, and refuses what is no UTF-8."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from candleworks.errors import TerminalError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class TextFile:
    """A file's content. `sha256` is that of the file as it lies on the disk; `text` is UTF-8 without a mark."""

    path: Path
    sha256: str
    text: bytes


def read_text(path: Path) -> TextFile:
    """Return the file's text; TerminalError when it is missing, empty, broken or in another encoding."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise TerminalError(f"{path} does not exist: check the path.") from None
    except OSError as error:
        raise TerminalError(f"{path} cannot be read ({error.strerror}): check the path and its permissions.") from None
    text = _unpacked(path, raw).removeprefix(_BYTE_ORDER_MARK)
    if not text.strip():
        raise TerminalError(f"{path} is empty: there is nothing to import.")
    _check_encoding(path, text)
    return TextFile(path, hashlib.sha256(raw).hexdigest(), text)


def _unpacked(path: Path, raw: bytes) -> bytes:
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise TerminalError(f"{path} is a broken gzip file ({error}): fetch it again.") from None


def _check_encoding(path: Path, text: bytes) -> None:
    if text.startswith(_UTF16_MARKS):
        raise TerminalError(f"{path} is UTF-16 by its first bytes: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8).")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise TerminalError(f"{path} is not UTF-8 in line {line}: convert it (for example iconv -f LATIN1).") from None
