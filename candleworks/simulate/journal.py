"""A file that says what was sent, for whoever must know it exactly."""

from pathlib import Path
from typing import BinaryIO

from candleworks.errors import UsageError


class Journal:
    """One JSON object per sent price event: the event and, before its own fields, `connection` and `snapshot`."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._file: BinaryIO | None = path.open("wb") if path else None
        except OSError as error:
            raise UsageError(f"--journal {path} cannot be written: {error.strerror}; name another file") from error

    def close(self) -> None:
        if self._file:
            self._file.close()

    def write(self, connection: int, payloads: list[bytes], *, snapshot: bool) -> None:
        if self._file and payloads:
            head = b'{"connection":%d,"snapshot":%b,' % (connection, b"true" if snapshot else b"false")
            self._file.write(b"".join(b"%b%b\n" % (head, payload[1:]) for payload in payloads))
            self._file.flush()
