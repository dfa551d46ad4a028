"""Rejected lines and rows of imported files, and rejected rows of adopted tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import polars as pl

from candleworks.database.connection import Connection
from candleworks.errors import CandleworksError, UsageError
from candleworks.imports.chunk_writer import ORIGIN
from candleworks.imports.files import sources_of
from candleworks.imports.formats import TextLayout, text_layout
from candleworks.imports.quote_sink import QuoteSink
from candleworks.imports.reading import QUOTE_COLUMNS, TRADE_COLUMNS, Reading, RowType
from candleworks.imports.rows import MILLISECOND, read_rows
from candleworks.imports.staging import Staged
from candleworks.imports.times import AmbiguityState
from candleworks.imports.trade_sink import TradeSink
from candleworks.imports.validation import bounds_at
from candleworks.model.trades import microseconds_of
from candleworks.model.trading_day import ZoneOf, zone_lookup
from candleworks.rejected.lines import LineForm
from candleworks.rejected.table_rows import corrected_row, read_row
from candleworks.settings import Settings
from candleworks.storage.quotes import QuoteStore
from candleworks.storage.rejected import RejectedTick, RetryResult
from candleworks.storage.trades import TradeStore

HEAD_BYTES = 65_536
# The columns of a line without a header, by its number of fields.
_DEFAULT_COLUMNS = {3: TRADE_COLUMNS[:3], 4: TRADE_COLUMNS, 6: QUOTE_COLUMNS}


_NO_TICKS = {"bar": "bars", "company": "companies"}


class ReadLine(NamedTuple):
    """What a line is, the line as sinks take it, and why it is rejected, None: it is accepted."""

    row_type: RowType
    frame: pl.DataFrame
    refusal: str | None


@dataclass
class ImportLines:
    """Retries lines by the rules of imports, as if they were imported at `now_us`."""

    settings: Settings
    connection: Connection
    now_us: int
    form: LineForm
    _layouts: dict[str, TextLayout] = field(default_factory=dict)
    _stored: list[tuple[str, pl.DataFrame]] = field(default_factory=list)

    def line_of(self, tick: RejectedTick, payload: str, corrections: Mapping[str, str]) -> str:
        """Return the line or row of a payload, corrected; UsageError for a field that it does not have."""
        if tick.kind == "row":
            return corrected_row(tick.feed, payload, corrections)
        if not corrections:
            return payload
        layout = self._layout(tick, payload)
        values = payload.split(layout.separator)
        values += [""] * (len(layout.columns) - len(values))
        for name, value in corrections.items():
            if name not in layout.columns:
                known = ", ".join(filter(None, layout.columns))
                raise UsageError(f"The lines of {tick.feed} have no {name!r}: set one of {known}.")
            values[layout.columns.index(name)] = value
        return layout.separator.join(values)

    def prepare(self, lines: Sequence[tuple[RejectedTick, str]]) -> list[str | None]:
        """Create partitions for the lines, outside a transaction; return for each why it is rejected, or None."""
        read = [self._read(tick, line) for tick, line in lines]
        for (tick, _), each in zip(lines, read, strict=True):
            if each.refusal is None:
                self._sink(tick, each.row_type).prepare(each.frame)
        return [each.refusal for each in read]

    def put_all(self, lines: Sequence[tuple[RejectedTick, str]]) -> bool:
        """Store lines of one import together; False, and the caller has to roll back, when not all are stored."""
        read = [self._read(tick, line) for tick, line in lines]
        imports = {
            (tick.received_at, each.row_type, *each.frame.columns) for (tick, _), each in zip(lines, read, strict=True)
        }
        if len(imports) > 1:
            return False
        row_type = read[0].row_type
        frame = pl.concat([each.frame for each in read]).with_columns(pl.int_range(pl.len()).alias("row"))
        merge = self._sink(lines[0][0], row_type).merge(
            lambda: [*self._known(row_type, frame), Staged(frame, known=False)]
        )
        if merge.stored < len(lines):
            return False
        self._stored.append((row_type, frame))
        return True

    def _known(self, row_type: RowType, frame: pl.DataFrame) -> list[Staged]:
        """Return what this retry has stored with the frame's event times: an equal tick is another one."""
        stored_frames = [each for stored, each in self._stored if stored == row_type]
        same = (each.filter(pl.col("event_us").is_in(frame["event_us"].to_list())) for each in stored_frames)
        return [Staged(each, known=True) for each in same if not each.is_empty()]

    def put(self, tick: RejectedTick, line: str) -> RetryResult:
        """Store a line's tick after the stored ticks of its event time, unless it is stored already."""
        read = self._read(tick, line)
        if read.refusal is not None:
            return RetryResult("rejected", read.refusal)
        sink = self._sink(tick, read.row_type)
        merge = sink.merge(lambda: [*self._known(read.row_type, read.frame), Staged(read.frame, known=False)])
        if merge.rejected:
            return RetryResult("rejected", sink.rejection_reason)
        if merge.stored:
            self._stored.append((read.row_type, read.frame))
        return RetryResult("stored" if merge.stored else "duplicate")

    def _read(self, tick: RejectedTick, line: str) -> ReadLine:
        bounds = bounds_at(self.now_us, self.settings)
        if tick.kind == "row":
            return ReadLine(*read_row(tick.feed, line, bounds))
        rows = read_rows(line.encode(), 1, self._layout(tick, line), bounds, AmbiguityState())
        reasons = rows.frame["reason"].drop_nulls()
        refusal = reasons[0] if len(reasons) else None if len(rows) == 1 else f"it has {len(rows)} lines instead of 1"
        return ReadLine(rows.layout.row_type, rows.accepted(0, 1), refusal)

    def _sink(self, tick: RejectedTick, row_type: RowType) -> TradeSink | QuoteSink:
        # Ordinals within milliseconds, because one line does not show the resolution of its file.
        received_us = microseconds_of(tick.received_at)
        if row_type is RowType.QUOTES:
            return QuoteSink(QuoteStore(self.connection, MILLISECOND), ORIGIN, received_us)
        store = TradeStore(self.connection, ORIGIN, self._zone_of, MILLISECOND)
        return TradeSink(store, received_us)

    @cached_property
    def _zone_of(self) -> ZoneOf:
        return zone_lookup(self.settings.calendars)

    def _layout(self, tick: RejectedTick, line: str) -> TextLayout:
        if tick.kind in _NO_TICKS:
            raise UsageError(f"{tick.feed} contains {_NO_TICKS[tick.kind]}: correct the file and import it again.")
        if tick.feed not in self._layouts:
            self._layouts[tick.feed] = self._found_layout(tick, line)
        return self._layouts[tick.feed]

    def _found_layout(self, tick: RejectedTick, line: str) -> TextLayout:
        """Find the layout by the given header, else by the file if it still exists, else by the line itself."""
        reading = Reading(symbol=self.form.symbol, timezone=self.form.timezone)
        heads = (
            [self.form.header.encode()]
            if self.form.header
            else [_head_of(tick.feed), line.encode(), _default_header(line)]
        )
        problem: CandleworksError | None = None
        for head in filter(None, heads):
            try:
                layout = text_layout(tick.feed, head + b"\n" + line.encode(), reading)
            except CandleworksError as error:
                problem = problem or error
                continue
            if layout.row_type not in (RowType.TRADES, RowType.QUOTES):
                content = "companies" if layout.row_type is RowType.COMPANIES else "bars"
                raise UsageError(f"{tick.feed} contains {content}: correct the file and import it again.")
            return layout
        raise UsageError(
            f"The lines of {tick.feed} cannot be read ({problem}): name their columns with --header,"
            " such as --header time,symbol,price,day_volume."
        )


def _head_of(name: str) -> bytes | None:
    """Return the beginning of an imported file, None when it does not exist any more."""
    try:
        for source in sources_of(name):
            if source.name == name:
                with source.opened() as content, content.path.open("rb") as file:
                    if content.kind != "text":
                        return None
                    file.seek(content.start)
                    return file.read(HEAD_BYTES)
    except CandleworksError:
        pass
    return None


def _default_header(line: str) -> bytes | None:
    columns = _DEFAULT_COLUMNS.get(line.count(",") + 1)
    return ",".join(columns).encode() if columns else None
