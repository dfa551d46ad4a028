"""Finds the files to import and makes plain files of them: unpacked, hashed, and checked."""

import codecs
import contextlib
import glob
import gzip
import hashlib
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from candleworks.errors import TerminalError
from candleworks.libraries import file_libraries

STDIN = "-"
_SUFFIXES = (".csv", ".txt", ".tsv", ".gz", ".zst", ".zip", ".parquet", ".arrow", ".feather", ".ipc")
_PIECE_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZIP_MAGIC = b"PK\x03\x04"
_PARQUET_MAGIC = b"PAR1"
_ARROW_MAGIC = b"ARROW1"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Content:
    """A plain file. `name` is its name for users; `sha256` is the hash of the unpacked content.

    `kind` is text, parquet or arrow. A text begins at `start`, behind a byte order mark, and has `newlines` line ends.
    """

    name: str
    path: Path
    sha256: str
    size: int
    kind: str
    start: int = 0
    newlines: int = 0


@dataclass(frozen=True)
class Source:
    """A file to import; `read` copies its bytes into a file, and is None when `path` can be read directly."""

    name: str
    path: Path
    read: Callable[[IO[bytes]], None] | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Content]:
        """Yield the content; TerminalError when it is missing, empty, broken or in another encoding."""
        with contextlib.ExitStack() as stack:
            path = self.path
            if self.read is not None:
                path = spooled(stack, self.read)
            while _head(path, self.name).startswith((_GZIP_MAGIC, _ZSTD_MAGIC)):
                unpack = _gunzip if _head(path, self.name).startswith(_GZIP_MAGIC) else _unzstd
                path = spooled(stack, unpack(path, self.name))
            content = _scanned(path, self.name)
            if content.kind == "text" and not content.newlines and (returns := _count(path, b"\r")):
                content = replace(content, path=spooled(stack, _with_newlines(path)), newlines=returns)
            yield content


def sources_of(path: str | Path) -> list[Source]:
    """Return the sources of a path: a file, all files of a directory or a pattern, the members of an archive.

    TerminalError when there is none.
    """
    if str(path) == STDIN:
        return [Source("standard input", Path(STDIN), lambda out: shutil.copyfileobj(sys.stdin.buffer, out))]
    path = Path(path)
    try:
        if path.is_dir():
            return _files_of(path)
        if not path.exists() and glob.has_magic(str(path)):
            found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - Path.glob is relative
            if not found:
                raise TerminalError(f"{path} matches no file: correct the pattern.")
            return [source for each in found for source in sources_within(each)]
        if path.exists() and not path.is_file():  # a pipe, which can be read once only
            return [Source(str(path), path, _piped(path))]
    except OSError as error:
        raise TerminalError(f"{path} cannot be read ({error.strerror}): check the path and its permissions.") from None
    if _head(path, str(path)).startswith(_ZIP_MAGIC):
        return _members_of(path)
    return [Source(str(path), path)]


def sources_within(path: str | Path) -> list[Source]:
    """Return the sources of one path of several; where there is none, a source that raises the error when opened."""
    try:
        return sources_of(path)
    except (TerminalError, OSError, ValueError) as error:  # such as a path with a null byte
        return [Source(str(path), Path(path), _raising(error))]


def _raising(error: Exception) -> Callable[[IO[bytes]], None]:
    def read(out: IO[bytes]) -> None:  # noqa: ARG001 - Source's
        raise error

    return read


def _files_of(directory: Path) -> list[Source]:
    found = sorted(
        path
        for path in directory.rglob("*")
        if path.name.lower().endswith(_SUFFIXES)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    )
    if not found:
        raise TerminalError(f"{directory} contains no file to import: names have to end in {', '.join(_SUFFIXES)}.")
    return [source for path in found for source in sources_within(path)]


def _members_of(archive: Path) -> list[Source]:
    with _unbroken(str(archive), "zip"), zipfile.ZipFile(archive) as opened:
        names = [
            info.filename
            for info in opened.infolist()
            if not info.is_dir() and not info.filename.startswith(("__MACOSX/", "."))
        ]
    if not names:
        raise TerminalError(f"{archive} is an archive without files: there is nothing to import.")
    return [Source(f"{archive}/{name}", archive, _unzip(archive, name)) for name in sorted(names)]


def _piped(path: Path) -> Callable[[IO[bytes]], None]:
    def read(out: IO[bytes]) -> None:
        with path.open("rb") as pipe:
            shutil.copyfileobj(pipe, out, _PIECE_BYTES)

    return read


def _unzip(archive: Path, member: str) -> Callable[[IO[bytes]], None]:
    def read(out: IO[bytes]) -> None:
        with _unbroken(str(archive), "zip"), zipfile.ZipFile(archive) as opened, opened.open(member) as inner:
            shutil.copyfileobj(inner, out, _PIECE_BYTES)

    return read


def _gunzip(path: Path, name: str) -> Callable[[IO[bytes]], None]:
    def read(out: IO[bytes]) -> None:
        with _unbroken(name, "gzip"), gzip.open(path) as inner:
            shutil.copyfileobj(inner, out, _PIECE_BYTES)

    return read


def _unzstd(path: Path, name: str) -> Callable[[IO[bytes]], None]:
    def read(out: IO[bytes]) -> None:
        with file_libraries():
            import pyarrow as pa  # noqa: PLC0415 - lists of companies are read without it

        with pa.OSFile(str(path)) as packed, pa.CompressedInputStream(packed, "zstd") as inner:
            while piece := _unpacked(inner, name):
                out.write(piece)

    return read


def _unpacked(inner: IO[bytes], name: str) -> bytes:
    try:
        return bytes(inner.read(_PIECE_BYTES))
    except OSError as error:
        reason = " ".join(str(error).split())
        raise TerminalError(f"{name} is a broken zstd file ({reason}): download it again.") from None


def _with_newlines(path: Path) -> Callable[[IO[bytes]], None]:
    """Replace the carriage returns of a text without line feeds by line feeds."""

    def read(out: IO[bytes]) -> None:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                out.write(piece.replace(b"\r", b"\n"))

    return read


@contextlib.contextmanager
def _unbroken(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:
        raise TerminalError(f"{name} is a {kind} file that cannot be unpacked here ({error}): unpack it.") from None
    except RuntimeError:  # how zipfile says that a password is needed
        raise TerminalError(f"{name} is an encrypted {kind} file: unpack it first.") from None
    except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise TerminalError(f"{name} is a broken {kind} file ({error}): download it again.") from None


def spooled(stack: contextlib.ExitStack, read: Callable[[IO[bytes]], None]) -> Path:
    """Copy into a temporary file that is removed with the stack."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="candleworks-import-")))
    path = directory / "content"
    try:
        with path.open("wb") as out:
            read(out)
    except OSError as error:
        raise TerminalError(
            f"{directory.parent} has no space for the unpacked content ({error.strerror}): free disk space,"
            " or set TMPDIR."
        ) from None
    return path


def _head(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except FileNotFoundError:
        raise TerminalError(f"{name} does not exist: check the path.") from None
    except OSError as error:
        raise TerminalError(f"{name} cannot be read ({error.strerror}): check the path and its permissions.") from None


def _scanned(path: Path, name: str) -> Content:
    """Read the file once: hash it, and check that it is UTF-8 text."""
    head = _head(path, name)
    for magic, kind in ((_PARQUET_MAGIC, "parquet"), (_ARROW_MAGIC, "arrow")):
        if head.startswith(magic):
            return Content(name, path, _sha256(path), path.stat().st_size, kind)
    if head.startswith(_UTF16_MARKS):
        raise TerminalError(f"{name} is UTF-16 by its first bytes: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8).")
    start = len(_BYTE_ORDER_MARK) if head.startswith(_BYTE_ORDER_MARK) else 0
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = size = 0
    blank = True
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            _check_encoding(decoder, piece, name, newlines)
            blank = blank and not piece[start if not size else 0 :].strip()
            newlines += piece.count(b"\n")
            size += len(piece)
    _check_encoding(decoder, b"", name, newlines, final=True)
    if blank:
        raise TerminalError(f"{name} is empty: there is nothing to import.")
    return Content(name, path, digest.hexdigest(), size, "text", start, newlines)


def _count(path: Path, byte: bytes) -> int:
    with path.open("rb") as file:
        return sum(piece.count(byte) for piece in iter(lambda: file.read(_PIECE_BYTES), b""))


def _check_encoding(
    decoder: codecs.IncrementalDecoder, piece: bytes, name: str, newlines: int, *, final: bool = False
) -> None:
    if piece.isascii() and not decoder.getstate()[0]:  # 20 times as fast as decoding
        return
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError as error:
        line = newlines + piece.count(b"\n", 0, error.start) + 1
        raise TerminalError(f"{name} is not UTF-8 in line {line}: convert it (for example iconv -f LATIN1).") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
