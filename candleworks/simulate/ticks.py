"""Ticks in columns, and the price events and frames that they become on the wire."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from candleworks.simulate.catalogue import CRYPTO, STOCK, SimulatedInstrument

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

NO_VOLUME: Final = -1


@dataclass(frozen=True)
class Ticks:
    """Equally long columns in the order of sending.

    `event times` are whole seconds since 1970, `volumes` running totals of the trading day (NO_VOLUME: unknown), whole
    numbers unless they were recorded. Simulated bids and asks are meaningful only for instruments that are quoted;
    recorded ones are NaN where there were none.
    """

    rows: Integers
    event_times: Integers
    prices: Floats
    bids: Floats
    asks: Floats
    volumes: Integers | Floats

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice | Integers) -> Self:
        return type(self)(
            self.rows[part],
            self.event_times[part],
            self.prices[part],
            self.bids[part],
            self.asks[part],
            self.volumes[part],
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
            np.concatenate([part.event_times for part in parts]),
            np.concatenate([part.prices for part in parts]),
            np.concatenate([part.bids for part in parts]),
            np.concatenate([part.asks for part in parts]),
            np.concatenate([part.volumes for part in parts]),
        )


_TEXT_FRAME: Final = 0x81  # final, opcode 1
_SHORT_PAYLOAD: Final = 125
_MEDIUM_PAYLOAD: Final = 0xFFFF


def _header(length: int) -> bytes:
    """RFC 6455, 5.2; what a server sends is not masked."""
    if length <= _SHORT_PAYLOAD:
        return bytes((_TEXT_FRAME, length))
    if length <= _MEDIUM_PAYLOAD:
        return bytes((_TEXT_FRAME, 126)) + length.to_bytes(2, "big")
    return bytes((_TEXT_FRAME, 127)) + length.to_bytes(8, "big")


_HEADERS: Final = [_header(length) for length in range(4096)]


def text_frame(payload: bytes) -> bytes:
    return _header(len(payload)) + payload


def joined_frames(payloads: list[bytes]) -> bytes:
    """Join frames for one write, which costs a tenth of a write each. Payloads are shorter than 4096 bytes."""
    headers = map(_HEADERS.__getitem__, map(len, payloads))
    return b"".join(chain.from_iterable(zip(headers, payloads, strict=True)))


class PriceEncoder:
    """Writes ticks of the given instruments as the vendor's price events."""

    def __init__(self, instruments: Sequence[SimulatedInstrument]) -> None:
        self._heads = [_head(instrument, quoted=instrument.has_quote) for instrument in instruments]
        self._with_volume = [head + b',"day_volume":%d}' for head in self._heads]
        self._bare = [head + b"}" for head in self._heads]
        self._quoted = [instrument.has_quote for instrument in instruments]
        self._volumes = [instrument.has_volume for instrument in instruments]

    def payloads(self, ticks: Ticks) -> list[bytes]:
        """Return one event per tick, in order.

        Grouping by instrument first leaves one formatting operation per tick: 0.9 us against 1.8 with a choice of
        template for each, measured at 190,000 ticks of seven instruments.
        """
        payloads = np.empty(len(ticks), dtype=np.object_)
        for row in np.unique(ticks.rows).tolist():
            places = np.flatnonzero(ticks.rows == row)
            payloads[places] = self._of_instrument(row, ticks[places])
        result: list[bytes] = payloads.tolist()
        return result

    def _of_instrument(self, row: int, ticks: Ticks) -> list[bytes]:
        columns = [ticks.event_times.tolist(), ticks.prices.tolist()]
        if self._quoted[row]:
            columns += [ticks.bids.tolist(), ticks.asks.tolist()]
        bare, with_volume = self._bare[row], self._with_volume[row]
        if not self._volumes[row]:
            return [bare % values for values in zip(*columns, strict=True)]
        columns.append(ticks.volumes.tolist())
        return [
            with_volume % values if values[-1] != NO_VOLUME else bare % values[:-1]
            for values in zip(*columns, strict=True)
        ]


class RecordedEncoder(PriceEncoder):
    """Writes exactly what was recorded: quotes and volumes only where there are any, with all digits."""

    def __init__(self, instruments: Sequence[SimulatedInstrument]) -> None:
        super().__init__(instruments)
        self._heads = [_head(instrument, quoted=False) for instrument in instruments]

    def _of_instrument(self, row: int, ticks: Ticks) -> list[bytes]:
        head = self._heads[row]
        columns = (ticks.event_times, ticks.prices, ticks.bids, ticks.asks, ticks.volumes)
        return [
            b"%b%b%b%b}"
            % (
                head % (event_time, price),
                b',"bid":%a' % bid if bid == bid else b"",  # noqa: PLR0124 - NaN stands for none
                b',"ask":%a' % ask if ask == ask else b"",  # noqa: PLR0124
                b"" if volume == NO_VOLUME else b',"day_volume":%a' % (int(volume) if volume % 1 == 0 else volume),
            )
            for event_time, price, bid, ask, volume in zip(*(column.tolist() for column in columns), strict=True)
        ]


def _head(instrument: SimulatedInstrument, *, quoted: bool) -> bytes:
    """Return the event up to the price, and the quote where there is one, as a template."""
    fields: dict[str, str] = {"event": "price", "symbol": instrument.symbol}
    if instrument.type == STOCK:
        fields["currency"] = instrument.exchange.currency
    else:
        fields |= {"currency_base": instrument.currency_base, "currency_quote": instrument.currency_quote}
    if instrument.type in (STOCK, CRYPTO):
        fields["exchange"] = instrument.exchange.name
    if instrument.type == STOCK:
        fields["mic_code"] = instrument.exchange.mic_code
    fields["type"] = instrument.type
    head = msgspec.json.encode(fields)[:-1].replace(b"%", b"%%") + b',"timestamp":%d,"price":%a'
    return head + b',"bid":%a,"ask":%a' if quoted else head
