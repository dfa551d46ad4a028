"""Ticks in columns, as the simulated markets make them and the encoder reads them."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from candleworks.simulate.noise import Floats, Integers

NO_VOLUME: Final = -1


@dataclass(frozen=True)
class Ticks:
    """Equally long columns in the order of sending.

    `stamps` are whole seconds since 1970, `volumes` running totals of the trading day (NO_VOLUME: unknown), whole
    numbers unless they were recorded. Made-up bids and asks mean something only for instruments that are quoted;
    recorded ones are NaN where there were none.
    """

    rows: Integers
    stamps: Integers
    prices: Floats
    bids: Floats
    asks: Floats
    volumes: Integers | Floats

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice | Integers) -> Self:
        return type(self)(
            self.rows[part], self.stamps[part], self.prices[part], self.bids[part], self.asks[part], self.volumes[part]
        )

    @classmethod
    def none(cls) -> Self:
        integers, floats = np.empty(0, dtype=np.int64), np.empty(0)
        return cls(integers, integers, floats, floats, floats, integers)

    @classmethod
    def joined(cls, parts: "list[Ticks]") -> Self:
        if not parts:
            return cls.none()
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.stamps for part in parts]),
            np.concatenate([part.prices for part in parts]),
            np.concatenate([part.bids for part in parts]),
            np.concatenate([part.asks for part in parts]),
            np.concatenate([part.volumes for part in parts]),
        )
