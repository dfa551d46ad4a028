"""Price events as the bytes that go over the wire."""

from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec
import numpy as np

from candleworks.simulate.catalogue import CRYPTO, STOCK, Instrument
from candleworks.simulate.ticks import NO_VOLUME, Ticks

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
    """One write for many frames: a write each would cost ten times as much. Payloads are shorter than 4096 bytes."""
    headers = map(_HEADERS.__getitem__, map(len, payloads))
    return b"".join(chain.from_iterable(zip(headers, payloads, strict=True)))


class PriceEncoder:
    """Writes ticks of the given instruments as the vendor's price events."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._heads = [_head(instrument, quoted=instrument.has_quote) for instrument in instruments]
        self._with_volume = [head + b',"day_volume":%d}' for head in self._heads]
        self._bare = [head + b"}" for head in self._heads]
        self._quoted = [instrument.has_quote for instrument in instruments]
        self._volumes = [instrument.has_volume for instrument in instruments]

    def payloads(self, ticks: Ticks) -> list[bytes]:
        """One event per tick, in their order.

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
        columns = [ticks.stamps.tolist(), ticks.prices.tolist()]
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
    """Writes what was recorded and nothing else: a quote or a volume only where there is one, with all its digits."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self._heads = [_head(instrument, quoted=False) for instrument in instruments]

    def _of_instrument(self, row: int, ticks: Ticks) -> list[bytes]:
        head = self._heads[row]
        columns = (ticks.stamps, ticks.prices, ticks.bids, ticks.asks, ticks.volumes)
        return [
            b"%b%b%b%b}"
            % (
                head % (stamp, price),
                b',"bid":%a' % bid if bid == bid else b"",  # noqa: PLR0124 - NaN stands for none
                b',"ask":%a' % ask if ask == ask else b"",  # noqa: PLR0124
                b"" if volume == NO_VOLUME else b',"day_volume":%a' % (int(volume) if volume % 1 == 0 else volume),
            )
            for stamp, price, bid, ask, volume in zip(*(column.tolist() for column in columns), strict=True)
        ]


def _head(instrument: Instrument, *, quoted: bool) -> bytes:
    """The event as far as the price, and the quote where there is one, as a template."""
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
