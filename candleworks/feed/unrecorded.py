"""Keeps in a file what the database refuses even to record: rejected ticks, and notes about gaps."""

import logging
import os
from pathlib import Path

import msgspec

from candleworks.errors import TransientError
from candleworks.model.gaps import GapNote
from candleworks.model.trades import Rejection, moment_of

FILE = "unrecorded.jsonl"

log = logging.getLogger(__name__)


class UnrecordedFile:
    """Appends one JSON object per line: `refused` says why the database refused it, the other keys are what it was.

    A line is on disk before the transaction that leaves it out is committed, so that a crash in between repeats it.
    """

    def __init__(self, feed: str, directory: Path) -> None:
        self.path = directory / FILE
        self._feed = feed
        self._logged = ""

    def keep_rejection(self, rejection: Rejection, refused: str) -> None:
        """Keep a rejected tick; raises TransientError when the disk does not take it."""
        record = {"reason": rejection.reason, "payload": rejection.payload}
        self._keep({"received_at": moment_of(rejection.received_us), **record}, refused)

    def keep_note(self, note: GapNote, refused: str) -> None:
        """Keep a note about a gap; raises TransientError when the disk does not take it."""
        at = None if note.at_us is None else moment_of(note.at_us)
        self._keep({"gap": note.kind, "symbol": note.symbol, "at": at, "reason": note.reason}, refused)

    def _keep(self, record: dict[str, object], refused: str) -> None:
        line = msgspec.json.encode({"feed": self._feed, "refused": refused, **record}) + b"\n"
        try:
            self.path.touch(mode=0o600)
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fdatasync(file.fileno())
        except OSError as error:
            raise TransientError(
                f"Feed {self._feed}: {self.path} cannot be written ({error.strerror}): free disk space."
            ) from None
        if refused != self._logged:
            log.error(
                "Feed %s: a rejected tick or a gap cannot be recorded (%s): it is kept in %s; find out which check or"
                " trigger refuses it.",
                self._feed, refused, self.path,
            )  # fmt: skip
        self._logged = refused
