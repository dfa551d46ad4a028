"""What a feed records about times in which ticks may be missing."""

from typing import Literal

import msgspec

# Why a gap was opened. `stopped`: by us, in order. `crashed`: found at the next start. `closed`: by the vendor, in
# order. `dropped`: the connection was lost. `silent`: nothing came though the market was open. `overflow`: memory and
# disk were full, so the feed was not read. `damaged`: the spool could not be read back.
Reason = Literal["stopped", "crashed", "closed", "dropped", "silent", "overflow", "damaged"]


class Stop(msgspec.Struct, frozen=True, array_like=True):
    """Why a feed was stopped in order, as words that follow a colon: "cancelled in Prefect".

    `deliberate`: a person stopped it. Otherwise it stopped together with the process that starts it again.
    """

    reason: str
    deliberate: bool


class GapNote(msgspec.Struct, frozen=True, array_like=True):
    """One record about gaps, in the order in which they were made.

    `opened` begins at `at_us`, null where only the database knows: at the last stored tick. It is ignored while a gap
    of the same symbol (null: of all) is open. `started` marks the start of a process, and opens a gap if the feed ran
    before and crashed. `closed` closes what is open. `stopped` marks that the process ended in order, and why.
    """

    kind: Literal["opened", "closed", "started", "stopped"]
    at_us: int | None
    symbol: str | None = None
    reason: Reason = "crashed"
    stop: Stop | None = None
