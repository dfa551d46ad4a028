"""Refused lines of imported files, and refused rows of tables that were adopted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import polars as pl

from candleworks.database.connection import Connection
from candleworks.errors import CandleworksError, UsageError
from candleworks.imports.chunk_writer import ORIGIN
from candleworks.imports.files import sources_of
from candleworks.imports.formats import QUOTE_COLUMNS, TRADE_COLUMNS, Layout, Reading, Relation, layout_of
from candleworks.imports.local_time import Clock
from candleworks.imports.quote_sink import QuoteSink
from candleworks.imports.rows import MILLISECOND, Rows, bounds_at, read_rows
from candleworks.imports.staging import Staged
from candleworks.imports.trade_sink import TradeSink
from candleworks.model.trades import microseconds_of
from candleworks.model.trading_day import calendar_of, zone_of
from candleworks.rejected.corrections import Corrections
from candleworks.settings import Settings
from candleworks.storage.quotes import QuoteStore
from candleworks.storage.rejected_list import RejectedTick, Replayed
from candleworks.storage.trades import TradeStore

HEAD_BYTES = 65_536
ADOPTED = {"time", "symbol", "price", "day_volume"}
# A line without a header: told by its number of fields.
_USUAL = {3: TRADE_COLUMNS[:3], 4: TRADE_COLUMNS, 6: QUOTE_COLUMNS}


@dataclass(frozen=True)
class LineForm:
    """How refused lines are to be read where their file does not say it; `header` is its first line."""

    header: str | None = None
    symbol: str | None = None
    timezone: str | None = None


def is_line(tick: RejectedTick) -> bool:
    """Whether a refused tick was a line of a file, or a row of an adopted table."""
    return tick.reason.startswith("line ") or _adopted(tick.payload) is not None


def _adopted(payload: str) -> str | None:
    """Return the row of an adopted table as a line."""
    try:
        row = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(row, dict) or set(row) != ADOPTED:
        return None
    return ",".join("" if row[name] is None else str(row[name]) for name in TRADE_COLUMNS)


@dataclass
class ImportLines:
    """Puts lines through the importer's rules, as if they were imported at `now_us`."""

    settings: Settings
    connection: Connection
    now_us: int
    form: LineForm
    _layouts: dict[str, Layout] = field(default_factory=dict)
    _stored: list[tuple[str, pl.DataFrame]] = field(default_factory=list)

    def line_of(self, tick: RejectedTick, payload: str, corrections: Corrections) -> str:
        """Return the line that a payload stands for, corrected; UsageError for a field that it has not."""
        line = _adopted(payload) or payload
        if not corrections:
            return line
        layout = self._layout(tick, line)
        values = line.split(layout.separator)
        values += [""] * (len(layout.columns) - len(values))
        for name, value in corrections.items():
            if name not in layout.columns:
                known = ", ".join(filter(None, layout.columns))
                raise UsageError(f"The lines of {tick.feed} have no {name!r}: set one of {known}.")
            values[layout.columns.index(name)] = value
        return layout.separator.join(values)

    def prepare(self, lines: Sequence[tuple[RejectedTick, str]]) -> list[str | None]:
        """Make room for what the lines tell, outside a transaction; return why each of them is refused, or None."""
        refusals = []
        for tick, line in lines:
            rows = self._read(tick, line)
            if not (refusal := self._refusal(rows)):
                self._sink(tick, rows.layout).prepare(rows.accepted(0, 1))
            refusals.append(refusal)
        return refusals

    def put_all(self, lines: Sequence[tuple[RejectedTick, str]]) -> bool:
        """Store lines of one import at once; False, and the caller has to take it back, where that does not do."""
        rows = [self._read(tick, line) for tick, line in lines]
        if len({(tick.received_at, each.layout.relation) for (tick, _), each in zip(lines, rows, strict=True)}) > 1:
            return False
        layout = rows[0].layout
        frame = pl.concat([each.accepted(0, 1) for each in rows]).with_columns(pl.int_range(pl.len()).alias("row"))
        meeting = self._sink(lines[0][0], layout).merge(
            lambda: [*self._known(layout.relation, frame), Staged(frame, known=False)]
        )
        if meeting.stored < len(lines):
            return False
        self._stored.append((layout.relation, frame))
        return True

    def _known(self, relation: Relation, frame: pl.DataFrame) -> list[Staged]:
        """Return what this replay has stored of the frame's stamps: an equal tick is another one."""
        mine = [each for stored, each in self._stored if stored == relation]
        same = (each.filter(pl.col("stamp_us").is_in(frame["stamp_us"].to_list())) for each in mine)
        return [Staged(each, known=True) for each in same if not each.is_empty()]

    def _refusal(self, rows: Rows) -> str | None:
        if rejections := rows.rejections(0, len(rows), self.now_us):
            return rejections[0].reason.partition(": ")[2]
        return None if len(rows) == 1 else f"it is {len(rows)} lines instead of 1"

    def put(self, tick: RejectedTick, line: str) -> Replayed:
        """Store a line's tick behind what is stored of its stamp, unless it is stored already."""
        rows = self._read(tick, line)
        if refusal := self._refusal(rows):
            return Replayed("rejected", refusal)
        frame, relation = rows.accepted(0, 1), rows.layout.relation
        sink = self._sink(tick, rows.layout)
        meeting = sink.merge(lambda: [*self._known(relation, frame), Staged(frame, known=False)])
        if meeting.refused:
            return Replayed("rejected", sink.crowded)
        if meeting.stored:
            self._stored.append((relation, frame))
        return Replayed("stored" if meeting.stored else "duplicate")

    def _read(self, tick: RejectedTick, line: str) -> Rows:
        bounds = bounds_at(self.now_us, self.settings)
        return read_rows(line.encode(), 1, self._layout(tick, line), bounds, Clock())

    def _sink(self, tick: RejectedTick, layout: Layout) -> TradeSink | QuoteSink:
        # By milliseconds, whatever the file's stamps were: a line alone does not tell.
        received_us = microseconds_of(tick.received_at)
        if layout.relation is Relation.QUOTES:
            return QuoteSink(QuoteStore(self.connection, MILLISECOND), ORIGIN, received_us)
        store = TradeStore(self.connection, ORIGIN, self._zone, MILLISECOND)
        return TradeSink(store, received_us)

    def _zone(self, symbol: str) -> ZoneInfo:
        return zone_of(calendar_of(symbol, self.settings.calendars))

    def _layout(self, tick: RejectedTick, line: str) -> Layout:
        if tick.feed not in self._layouts:
            self._layouts[tick.feed] = self._found_layout(tick, line)
        return self._layouts[tick.feed]

    def _found_layout(self, tick: RejectedTick, line: str) -> Layout:
        """Tell the layout by the given header, else by the file where it still is, else by the line itself."""
        reading = Reading(symbol=self.form.symbol, timezone=self.form.timezone)
        heads = [self.form.header.encode()] if self.form.header else [_head_of(tick.feed), line.encode(), _usual(line)]
        problem: CandleworksError | None = None
        for head in filter(None, heads):
            try:
                layout = layout_of(tick.feed, head + b"\n" + line.encode(), reading)
            except CandleworksError as error:
                problem = problem or error
                continue
            if layout.relation not in (Relation.TRADES, Relation.QUOTES):
                held = "companies" if layout.relation is Relation.COMPANIES else "bars"
                raise UsageError(f"{tick.feed} holds {held}: correct the file and import it again.")
            return layout
        raise UsageError(
            f"How to read the lines of {tick.feed} is not known ({problem}): name their columns with --header,"
            " such as --header time,symbol,price,day_volume."
        )


def _head_of(name: str) -> bytes | None:
    """Return the beginning of an imported file, where it still is."""
    try:
        for source in sources_of(name):
            if source.name == name:
                with source.opened() as content, content.path.open("rb") as file:
                    file.seek(content.start)
                    return file.read(HEAD_BYTES)
    except CandleworksError:
        pass
    return None


def _usual(line: str) -> bytes | None:
    columns = _USUAL.get(line.count(",") + 1)
    return ",".join(columns).encode() if columns else None
