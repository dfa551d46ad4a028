"""`candleworks import` tells what became of each file, in one table, and fails when one of them could not be used."""

import io
import re
import sys
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import pytest

from candleworks.cli.progress import ProgressDisplay
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.imports.importer import import_paths
from candleworks.imports.report import CANDLES, REMOVAL, FileProgress
from candleworks.imports.undo import undo_paths
from candleworks.settings import Settings
from tests.cli.conftest import Invoke

on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

HEADER = "time,symbol,price,day_volume\n"
TICKS = HEADER + "2022-10-19 12:00:01+00,AAPL,143.86,51\n2022-10-19 12:00:02+00,AAPL,143.87,52\n"


def cells(output: str) -> list[list[str]]:
    """The rows of the printed table, without its frame."""
    rows = [line for line in output.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in row.strip("│┃").replace("┃", "│").split("│")] for row in rows]


@on_postgres
def test_one_file_is_told_in_full(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """Read, stored, duplicates, rejected with the first examples, bounds, candles; then that it is known."""
    (tmp_path / "ticks.csv").write_text(TICKS + "".join(f"x{n}\n" for n in range(7)))
    ended = invoke("import", "ticks.csv", CANDLEWORKS_DSN=dsn)
    assert (ended.status, ended.errors) == (0, "")
    assert dict(cells(ended.output)) == {
        "read": "9",
        "stored": "2",
        "duplicates": "0",
        "rejected": "7",
        "first tick": "2022-10-19 12:00:01 UTC",
        "last tick": "2022-10-19 12:00:02 UTC",
        "candles": "1 of 1m, 1 of 5m, 1 of 15m, 1 of 1h, 1 of 4h, 1 of 1d",
    }
    assert ended.output.splitlines()[-6:] == [
        *(f"ticks.csv: line {line}: 1 fields instead of 4" for line in range(4, 9)),
        "ticks.csv: and 2 more rejected rows: see `candleworks rejected list`",
    ]
    assert invoke("import", "ticks.csv", CANDLEWORKS_DSN=dsn) == (
        *(0, "ticks.csv: imported before as ticks.csv, nothing to do (--again imports it again)\n"),
        "",
    )


@on_postgres
def test_several_files_are_told_in_one_table(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """With totals; a bad one between them is one line and the exit status, and the others are stored."""
    (tmp_path / "a.csv").write_text(TICKS)
    (tmp_path / "b.csv").write_text("nothing,known\n")
    (tmp_path / "c.csv").write_text("symbol,name\nAAPL,Apple\n")
    ended = invoke("import", ".", "--again", CANDLEWORKS_DSN=dsn)
    assert ended.status == 1
    assert ended.errors.startswith("b.csv has the columns nothing,known, which is not a known format: expected")
    assert ended.errors.count("\n") == 1
    table = cells(ended.output)
    assert [row[:5] for row in table] == [
        ["file", "read", "stored", "duplicates", "rejected"],
        ["a.csv", "2", "2", "0", "0"],
        ["c.csv", "1", "1", "0", "0"],
        ["total", "3", "3", "0", "0"],
    ]


@on_postgres
def test_bars_are_reported_as_bars(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """How many, how long, and that those of one side wait for the other."""
    rows = "timestamp,open,high,low,close\n1705276800000,1,2,1,2\n1705276860000,1,2,1,2\n"
    for side in ("bid", "ask"):
        (tmp_path / f"eurusd-m1-{side}-2024.csv").write_text(rows if side == "bid" else rows + "\n")
    reported = [
        invoke("import", f"eurusd-m1-{side}-2024.csv", CANDLEWORKS_DSN=dsn).output.splitlines()[-1]
        for side in ("bid", "ask")
    ]
    assert reported == [
        "eurusd-m1-bid-2024.csv: 2 bars of 1m wait for the other side, bid or ask",
        "eurusd-m1-ask-2024.csv: 2 bars of 1m stored, their candles are marked as rebuilt",
    ]


@on_postgres
def test_a_file_of_rejected_lines_alone_fails(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """With its counts and the reason, also when it is imported once more."""
    (tmp_path / "ticks.csv").write_text(f"{HEADER}x\ny\n")
    for _ in range(2):
        ended = invoke("import", "ticks.csv", CANDLEWORKS_DSN=dsn)
        assert ended.status == 1
        assert ended.errors.startswith("ticks.csv has no valid line, 2 were rejected")
        assert ended.errors.count("\n") == 1
    (tmp_path / "ticks.csv").write_text(f"{TICKS}x\n")
    assert invoke("import", "ticks.csv", CANDLEWORKS_DSN=dsn).status == 0


PLAIN = "time,price\n2022-10-19 12:00:01,143.86\n"
COLUMNS = ("--columns", "time=time,price=price")


@on_postgres
@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("--symbol", "A"), ("--symbol", "B"), "--symbol B"),
        (("--symbol", "A"), ("--symbol", "A", "--digits", "2"), "--symbol A --digits 2"),
    ],
)
def test_the_same_file_with_other_options_is_explained(
    invoke: Invoke, dsn: str, tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...], said: str
) -> None:
    """They may give its lines another meaning: exit 1 says what to do, and the same options are a repetition."""
    (tmp_path / "plain.csv").write_text(PLAIN)
    given = ("plain.csv", *COLUMNS, "--timezone", "UTC")
    assert invoke("import", *given, *first, CANDLEWORKS_DSN=dsn).status == 0
    ended = invoke("import", *given, *second, CANDLEWORKS_DSN=dsn)
    assert (ended.status, ended.output) == (1, "")
    assert re.fullmatch(
        r"plain.csv was imported on \d{4}-\d\d-\d\d \d\d:\d\d UTC with"
        r" --symbol A --timezone UTC --columns price=price,time=time, not with .*"
        r": undo that import first with --undo, or import its rows in addition with --again\.\n",
        ended.errors,
    )
    assert all(word in ended.errors for word in said.split())
    assert "nothing to do" in invoke("import", *given, *first, CANDLEWORKS_DSN=dsn).output


@on_postgres
def test_an_import_is_taken_back(invoke: Invoke, dsn: str, connection: Connection, tmp_path: Path) -> None:
    """One line a file; a second time is an error; then it can be imported with other options."""
    (tmp_path / "plain.csv").write_text(PLAIN + "x\n")
    given = ("plain.csv", *COLUMNS, "--timezone", "UTC", "--symbol")
    invoke("import", *given, "A", CANDLEWORKS_DSN=dsn)
    removed = "1 tick removed, 1 rejected line deleted\n"
    ended = invoke("import", "--undo", "--dry-run", "plain.csv", CANDLEWORKS_DSN=dsn)
    assert ended == (0, f"plain.csv: would be undone, {removed}", "")
    ended = invoke("import", "--undo", "plain.csv", CANDLEWORKS_DSN=dsn)
    levels = "1 of 1m, 1 of 5m, 1 of 15m, 1 of 1h, 1 of 4h, 1 of 1d"
    assert ended == (0, f"plain.csv: undone, {removed}plain.csv: candles changed: {levels}\n", "")
    ended = invoke("import", "--undo", "plain.csv", CANDLEWORKS_DSN=dsn)
    assert ended == (1, "", "plain.csv was undone already: there is nothing left of its import.\n")
    assert invoke("import", *given, "B", CANDLEWORKS_DSN=dsn).status == 0
    assert connection.execute("SELECT symbol FROM stocks_real_time").fetchall() == [("B",)]


@on_postgres
def test_debug_shows_the_traceback_of_one_file(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """And the others are imported as without it."""
    (tmp_path / "a.csv").write_text("nothing,known\n")
    (tmp_path / "b.csv").write_text(TICKS)
    ended = invoke("import", "--debug", "a.csv", "b.csv", CANDLEWORKS_DSN=dsn)
    assert ended.status == 1
    assert ended.errors.startswith("Traceback (most recent call last):")
    assert ["stored", "2"] in cells(ended.output)


@on_postgres
def test_a_dry_run_stores_nothing(invoke: Invoke, dsn: str, connection: Connection, tmp_path: Path) -> None:
    """The same figures, and a title that says so."""
    (tmp_path / "ticks.csv").write_text(TICKS)
    ended = invoke("import", "--dry-run", "ticks.csv", CANDLEWORKS_DSN=dsn)
    assert ended.output.splitlines()[0] == "ticks.csv: not stored (--dry-run)"
    assert ["stored", "2"] in cells(ended.output)
    assert connection.execute("SELECT 1 FROM stocks_real_time UNION ALL SELECT 1 FROM import_files").fetchall() == []


@on_postgres
def test_standard_input_is_a_file(
    invoke: Invoke, dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With options that say what it is."""
    text = "Day,Price\n2016-11-08 12:00:00,1.5\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    options = ("--columns", "time=Day, price=Price", "--symbol", "AAPL", "--timezone", "America/New_York")
    assert invoke("import", "-", *options, CANDLEWORKS_DSN=dsn).status == 0
    assert connection.execute("SELECT symbol, price, time::text FROM stocks_real_time").fetchall() == [
        ("AAPL", 1.5, "2016-11-08 17:00:00+00")
    ]


@on_postgres
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--undo", "--symbol", "A"),
            "--undo does not depend on how the files were imported: leave out the options of the import.",
        ),
        (("--columns", "time"), "--columns time is not a mapping: write it like time=Date,bid=Bid,ask=Ask."),
        (("--format", "xls"), "Unknown --format xls: choose one of dukascopy, "),
        (("--columns", "time=time,price=price", "--timezone", "Mars"), "Unknown --timezone Mars: name one such as"),
    ],
)
def test_wrong_options_are_refused(
    invoke: Invoke, dsn: str, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    """One line, and the status of bad usage."""
    (tmp_path / "ticks.csv").write_text(TICKS)
    ended = invoke("import", *options, "ticks.csv", CANDLEWORKS_DSN=dsn)
    assert ended.status == 2
    assert ended.errors.startswith(message)
    assert ended.errors.count("\n") == 1


def test_progress_is_plain_lines_without_a_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None in the first two seconds, then one every two seconds with rows, speed and the time that is left."""
    now = [0.0]
    monkeypatch.setattr("candleworks.clock.monotonic", lambda: now[0])
    with ProgressDisplay("rows") as progress:
        for second in range(6):
            now[0] = float(second)
            progress.show("ticks.csv", 100_000 * second, second / 10)
    assert capfd.readouterr().err.splitlines() == [
        "ticks.csv: 200,000 rows, 100,000 rows/s, 20%, about 8 s left",
        "ticks.csv: 400,000 rows, 100,000 rows/s, 40%, about 6 s left",
    ]


def test_progress_goes_on_while_a_step_takes_long(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody calls while candles are computed: the last state is shown again, without a made-up time that is left."""
    monkeypatch.setattr("candleworks.cli.progress.QUIET_SECONDS", 0.05)
    monkeypatch.setattr("candleworks.cli.progress.REPEAT_SECONDS", 0.05)
    with ProgressDisplay("rows", line_seconds=0.05) as progress:
        progress.show("ticks.csv: computing candles", None, 0.0)
        sleep(0.5)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert set(lines) == {"ticks.csv: computing candles: 0%"}


@pytest.mark.parametrize("columns", [80, 200])
def test_a_stage_fits_into_a_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """One line that is redrawn, with the stage and how far it is."""
    monkeypatch.setattr("candleworks.cli.progress.QUIET_SECONDS", 0.01)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with ProgressDisplay("rows") as progress:
        progress.show("EURUSD_Ticks.csv", 1_000_000, 1.0)
        progress.show("EURUSD_Ticks.csv: computing candles", None, 0.25)
        sleep(1.5)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().err)
    drawn = [line for line in re.split(r"[\r\n]+", plain) if "computing" in line]
    assert drawn
    assert all(len(line) <= columns for line in drawn)
    assert any("computing candles" in line and "25%" in line for line in drawn)


@on_postgres
def test_candles_are_a_stage_of_their_own(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    """After the last row of an import, and after the removal of an undo; from nothing up to the whole."""
    (tmp_path / "ticks.csv").write_text(TICKS)
    reports: list[FileProgress] = []
    paths = [tmp_path / "ticks.csv"]
    list(import_paths(connection, settings, paths, progress=reports.append))
    candles = [report.fraction for report in reports if report.stage == CANDLES]
    assert (candles[0], candles[-1]) == (0.0, 1.0)
    assert [report.stage for report in reports].index(CANDLES) == len(reports) - len(candles)
    reports.clear()
    list(undo_paths(connection, settings, paths, progress=reports.append))
    assert [report.stage for report in reports] == [REMOVAL, CANDLES, CANDLES]
    assert reports[-1].fraction == 1.0
