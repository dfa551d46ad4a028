"""Parquet, Arrow and CSV files that get their names when they are complete."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from candleworks.errors import TerminalError, UsageError
from candleworks.exports.request import Format


class TableWriter(Protocol):
    """The common interface of pyarrow's writers."""

    def write_table(self, table: pa.Table) -> None: ...


class ExportFile:
    """One file that is being written. Disk errors are raised as TerminalError."""

    def __init__(self, path: Path, draft: Path, schema: pa.Schema, kind: Format, *, zstd: bool) -> None:
        self.path = path
        self._draft = draft
        self._open = contextlib.ExitStack()
        with _explained(path):
            self._writer = self._open_writer(schema, kind, zstd=zstd)

    def write(self, table: pa.Table) -> None:
        with _explained(self.path):
            self._writer.write_table(table)

    def finish(self) -> int:
        """Flush and sync the file, and return its size in bytes."""
        with _explained(self.path):
            self._open.close()
            del self._writer  # there may be thousands of files, one for each day
            with self._draft.open("rb") as file:
                os.fsync(file.fileno())
                return file.seek(0, os.SEEK_END)

    def publish(self) -> None:
        """Rename the draft to its name, replacing an existing file."""
        with _explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._draft.replace(self.path)

    def discard(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            self._open.close()
        self._draft.unlink(missing_ok=True)

    def _open_writer(self, schema: pa.Schema, kind: Format, *, zstd: bool) -> TableWriter:
        sink: pa.NativeFile = self._open.enter_context(pa.OSFile(str(self._draft), "wb"))
        if kind is Format.PARQUET:
            writer = pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")
        elif kind is Format.ARROW:
            writer = pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
        else:
            text = self._open.enter_context(pa.CompressedOutputStream(sink, "zstd")) if zstd else sink
            writer = pyarrow.csv.CSVWriter(text, schema)
        self._open.callback(writer.close)
        return cast(TableWriter, writer)


class ExportFiles:
    """All files of one export; use it as a context manager.

    They appear together at the end, or not at all when an error or an interruption ends the context. A process that is
    killed leaves drafts, whose names end in .partial.
    """

    def __init__(self, schema: pa.Schema, kind: Format, *, zstd: bool, overwrite: bool) -> None:
        self._schema = schema
        self._kind = kind
        self._zstd = zstd
        self._overwrite = overwrite
        self._files: list[ExportFile] = []

    def open(self, path: Path, directory: Path) -> ExportFile:
        """Start a file; its draft is in `directory`, which is on the same file system."""
        self.require_free(path)
        name = "-".join(path.relative_to(directory).parts)
        with _explained(path):
            directory.mkdir(parents=True, exist_ok=True)
        draft = directory / f".{name}.{os.getpid()}.partial"
        file = ExportFile(path, draft, self._schema, self._kind, zstd=self._zstd)
        self._files.append(file)
        return file

    def require_free(self, path: Path) -> None:
        if path.exists() and not self._overwrite:
            raise UsageError(f"{path} exists: name another file, or replace it with --overwrite.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for file in self._files:
                    file.publish()
        finally:
            for file in self._files:
                file.discard()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise TerminalError(f"{path} cannot be written ({reason}): free disk space, or name another file.") from error
