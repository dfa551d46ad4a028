"""How a simulator is to behave."""

from dataclasses import dataclass
from pathlib import Path

from candleworks.errors import UsageError
from candleworks.settings import DEFAULT_SYMBOLS
from candleworks.simulate.recording import Recording


@dataclass(frozen=True)
class SimulatorOptions:
    """`port` 0 takes a free one. `rate` is in ticks per second over all of `symbols` together.

    Other symbols of the built-in catalogue can be subscribed as well; they tick at the same pace on top of `rate`.
    With `replay`, a file, or `recording` the symbols are those of the recording, and `rate` and `seed` say nothing.
    `speed` multiplies the recording's pace; 0 sends as fast as the client reads.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    rate: float = 20.0
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    seed: int = 1
    replay: Path | None = None
    recording: Recording | None = None
    speed: float = 1.0
    keep_stamps: bool = False
    close_at_end: bool = False
    journal: Path | None = None
    refused_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 10_000_000:
            raise UsageError(f"--rate {self.rate:g} is out of range: give ticks per second above 0, up to 10,000,000")
        if not 0 <= self.speed <= 1_000_000:
            raise UsageError(f"--speed {self.speed:g} is out of range: give 1 for real pace, 0 for as fast as possible")
        if not 0 <= self.port <= 65_535:
            raise UsageError(f"--port {self.port} is out of range: give 1 to 65535, or 0 for any free port")
        if not self.symbols:
            raise UsageError("--symbols names none: give some such as AAPL,BTC/USD")
