"""Files that cannot be used are refused in one line; lines that cannot be used are kept and counted."""

import gzip
import zipfile
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow as pa
import pytest
from polars.exceptions import PanicException

from candleworks.database.engine import Engine
from candleworks.imports import importer
from candleworks.imports.formats import TextLayout
from candleworks.imports.importer import import_paths
from candleworks.imports.reading import Reading
from tests.imports.conftest import GOOD, HEADER, Desk

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

EXPECTED = (
    "which is not a known format: expected time,symbol,price,day_volume or symbol,name or time,symbol,bid,ask or"
    " the columns of Dukascopy, dukascopy-node or TrueFX; name other columns with --columns time=...,bid=...,ask=..."
)
EVENT_TIME = "2022-10-19 12:00:02+00"


HEADERS = {
    "a,b,c": "a,b,c",
    "time,symbol": "time,symbol",
    "symbol,name,founded": "symbol,name,founded",
    "symbol;name": "symbol;name",
    "{": "{",
    "t\x00i\x1b[31m": r"'t\x00i\x1b[31m'",
}


def test_a_header_that_is_not_known_is_refused(desk: Desk) -> None:
    """The message shows the columns found and those expected, and nothing that a terminal would obey."""
    for header, shown in HEADERS.items():
        assert desk.refusal(f"{header}\n{GOOD}") == f"trades.csv has the columns {shown}, {EXPECTED}"


def test_a_file_without_lines_is_refused_by_its_columns(desk: Desk) -> None:
    """A megabyte of something else in one line is described briefly."""
    message = desk.refusal("x" * 1_000_000)
    assert message == f"trades.csv has the columns {'x' * 200}, {EXPECTED}"


UNREADABLE = [
    (b"", "trades.csv is empty: there is nothing to import."),
    (b"\xef\xbb\xbf \r\n\n", "trades.csv is empty: there is nothing to import."),
    (gzip.compress(b""), "trades.csv is empty: there is nothing to import."),
    (
        (HEADER + GOOD + "# Münze\n").encode("latin-1"),
        "trades.csv is not UTF-8 in line 3: convert it (for example iconv -f LATIN1).",
    ),
    (
        (HEADER + GOOD).encode("utf-16"),
        "trades.csv is UTF-16 by its first bytes: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8).",
    ),
    (
        gzip.compress((HEADER + GOOD).encode())[:-12],
        (
            "trades.csv is a broken gzip file"
            " (Compressed file ended before the end-of-stream marker was reached): download it again."
        ),
    ),
    (
        gzip.compress((HEADER + GOOD).encode())[:10] + b"\xff" * 40,
        "trades.csv is a broken gzip file (Error -3 while decompressing data: invalid block type): download it again.",
    ),
    (
        gzip.compress((HEADER + GOOD).encode()) + b"rest",
        "trades.csv is a broken gzip file (Not a gzipped file (b're')): download it again.",
    ),
    (
        pa.compress((HEADER + GOOD).encode(), "zstd", asbytes=True)[:-12],
        "trades.csv is a broken zstd file (Truncated compressed stream): download it again.",
    ),
]


def test_a_file_that_cannot_be_read_is_refused(desk: Desk) -> None:
    """One line says what it is and what to do; nothing of it is stored."""
    for content, message in UNREADABLE:
        assert desk.refusal(content) == message


def test_lines_that_end_in_carriage_returns_alone_are_read(desk: Desk) -> None:
    """Ticks and companies, also behind a mark; a rejected line is told by its number."""
    text = (HEADER + GOOD + "x\n").replace("\n", "\r")
    assert desk.summary(desk.take(text)) == (2, 1, 0, 1)
    assert desk.rejected()[0][1:] == ("line 3: 1 fields instead of 4", "x")
    assert desk.summary(desk.take("\ufeff" + text)) == (2, 0, 1, 1)
    assert desk.summary(desk.take("symbol,name\rAAPL,Apple\rMSFT,Microsoft")) == (2, 2, 0, 0)


def test_one_bad_file_of_a_directory_does_not_stop_the_others(desk: Desk) -> None:
    """Broken archives, columns named twice and files that mix the ends of lines."""
    directory = desk.directory / "history"
    directory.mkdir()
    (directory / "archive.zip").write_bytes(b"PK\x03\x04garbage")
    (directory / "cut.csv.gz").write_bytes(gzip.compress((HEADER + GOOD).encode())[:-12])
    (directory / "mixed.csv").write_bytes((HEADER + GOOD).replace("\n", "\r").encode() + b"\n")
    table = pa.table([pa.array([1.0]), pa.array([1.0])], names=["price", "price"])
    table = table.append_column("time", pa.array([0], pa.timestamp("us", "UTC"))).append_column("symbol", [["A"]])
    with pa.OSFile(str(directory / "twice.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    (directory / "z.csv").write_text(HEADER + GOOD)
    reports = list(import_paths(desk.connection, desk.settings, ["null\0byte.csv", str(directory)]))
    assert str(reports.pop(0).error).endswith(
        "cannot be imported (ValueError: embedded null byte): check the file, or see --debug."
    )
    said = [str(report.error).removeprefix(f"{directory}/").split(" (")[0] for report in reports]
    assert said == [
        "archive.zip is a broken zip file",
        "cut.csv.gz is a broken gzip file",
        f"mixed.csv has the columns time,symbol,price,day_volume {GOOD.strip().lower()}, {EXPECTED}",
        "twice.arrow has the column price more than once: rename one of them.",
        "None",
    ]
    assert reports[-1].count("stored") == desk.ticks() == 1


@pytest.mark.parametrize("kind", [ValueError, PanicException])
def test_an_unforeseen_exception_is_one_line_about_its_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    """The next file is imported; the traceback is kept as the cause, for --debug. A panic of polars is no Exception."""
    real = importer.text_layout

    def failing(name: str, head: bytes, reading: Reading) -> TextLayout:
        if name.endswith("a.csv"):
            raise kind("nobody\nforesaw this")
        return real(name, head, reading)

    monkeypatch.setattr(importer, "text_layout", failing)
    paths = [desk.write(HEADER, "a.csv"), desk.write(HEADER + GOOD, "b.csv")]
    failed, stored = import_paths(desk.connection, desk.settings, paths)
    assert str(failed.error) == (
        f"{paths[0]} cannot be imported ({kind.__name__}: nobody foresaw this): check the file, or see --debug."
    )
    assert isinstance(failed.error and failed.error.__cause__, kind)
    assert (stored.error, stored.count("stored")) == (None, 1)


def test_a_lost_database_is_no_error_of_a_file(desk: Desk) -> None:
    """It ends the import, for the next file would meet it too."""
    desk.connection.close()
    with pytest.raises(psycopg.OperationalError):
        list(import_paths(desk.connection, desk.settings, [desk.write(HEADER + GOOD)]))


def test_a_file_of_rejected_lines_alone_has_failed(desk: Desk) -> None:
    """The error says why; one good line or a duplicate is enough for a success with counts."""
    (report,) = import_paths(desk.connection, desk.settings, [desk.write(f"{HEADER}x\ny\n")])
    assert str(report.failure).replace(f"{desk.directory}/", "") == (
        "trades.csv has no valid line, 2 were rejected (line 2: 1 fields instead of 4):"
        " correct the file or the options."
    )
    assert report.error is None
    assert (report.count("stored"), report.count("duplicates"), report.count("rejected")) == (0, 0, 2)
    (report,) = import_paths(desk.connection, desk.settings, [desk.write(f"{HEADER}{GOOD}x\n")])
    assert (report.failure, report.count("stored"), report.count("rejected")) == (None, 1, 1)


def test_what_stands_for_no_file_is_named(desk: Desk) -> None:
    """A missing file, a pattern without matches, a directory or an archive with nothing to import."""
    assert desk.refusal(desk.directory / "missing.csv") == "missing.csv does not exist: check the path."
    assert desk.refusal(desk.directory / "*.csv") == "*.csv matches no file: correct the pattern."
    (desk.directory / "ticks").mkdir()
    (desk.directory / "ticks" / "notes.pdf").write_bytes(b"ticks")
    (desk.directory / "ticks" / ".hidden.csv").write_text(HEADER + GOOD)
    assert desk.refusal(desk.directory / "ticks") == (
        "ticks contains no file to import: names have to end in"
        " .csv, .txt, .tsv, .gz, .zst, .zip, .parquet, .arrow, .feather, .ipc."
    )
    with zipfile.ZipFile(desk.directory / "empty.zip", "w") as archive:
        archive.mkdir("folder")
    assert desk.refusal(desk.directory / "empty.zip") == (
        "empty.zip is an archive without files: there is nothing to import."
    )


BROKEN_LINES = {
    f"{EVENT_TIME},AAPL,1.5": "3 fields instead of 4",
    f"{EVENT_TIME},AAPL,1.5,2,3": "5 fields instead of 4",
    f"{EVENT_TIME}": "1 fields instead of 4",
    f"{EVENT_TIME},AAPL,much,": "price 'much' is not a number",
    f"{EVENT_TIME},AAPL,,": "price '' is not a number",
    f"{EVENT_TIME},AAPL,NaN,": "price 'NaN' is not a number",
    f"{EVENT_TIME},AAPL,inf,": "price 'inf' is not a number",
    f"{EVENT_TIME},AAPL,1e999,": "price '1e999' is not a number",
    f"{EVENT_TIME},AAPL,0x10,": "price '0x10' is not a number",
    f"{EVENT_TIME},AAPL,-0.01,": "price '-0.01' is negative",
    f"{EVENT_TIME},AAPL,1.5,lots": "day_volume 'lots' is not a number",
    f"{EVENT_TIME},AAPL,1.5,nan": "day_volume 'nan' is not a number",
    f"{EVENT_TIME},AAPL,1.5,-1": "day_volume '-1' is negative",
    f"{EVENT_TIME},,1.5,": "invalid symbol ''",
    f"{EVENT_TIME},A B,1.5,": "invalid symbol 'A B'",
    f"{EVENT_TIME},Ä,1.5,": "invalid symbol 'Ä'",
    f"{EVENT_TIME},{'A' * 33},1.5,": f"invalid symbol '{'A' * 33}'",
    f"{EVENT_TIME},A\x00,1.5,": "invalid symbol 'A\ufffd'",
    "2022-10-19 12:00:02,AAPL,1.5,": "time '2022-10-19 12:00:02' is not an ISO time with an offset from UTC",
    "19.10.2022 12:00,AAPL,1.5,": "time '19.10.2022 12:00' is not an ISO time with an offset from UTC",
    "2022-10-32 12:00:02+00,AAPL,1.5,": "time '2022-10-32 12:00:02+00' is not an ISO time with an offset from UTC",
    "1666180802,AAPL,1.5,": "time '1666180802' is not an ISO time with an offset from UTC",
    ",AAPL,1.5,": "time '' is not an ISO time with an offset from UTC",
    "1989-12-31 23:59:59+00,AAPL,1.5,": "time '1989-12-31 23:59:59+00' is before 1990",
    "1990-01-01 00:59:59+01,AAPL,1.5,": "time '1990-01-01 00:59:59+01' is before 1990",
    "2222-01-01 00:00:00+00,AAPL,1.5,": "time '2222-01-01 00:00:00+00' is in the future",
}


def test_broken_lines_are_kept_with_their_numbers(desk: Desk) -> None:
    """Each with the reason and as it was; the lines around them are stored, and nothing is counted twice."""
    lines = [part for line in BROKEN_LINES for part in (GOOD.strip(), line)]
    result = desk.take(HEADER + "\n".join(lines))
    assert desk.summary(result) == (len(lines), len(BROKEN_LINES), 0, len(BROKEN_LINES))
    path = str(desk.directory / "trades.csv")
    assert desk.rejected() == [
        (path, f"line {3 + 2 * index}: {reason}", line.replace("\x00", "\ufffd"))
        for index, (line, reason) in enumerate(BROKEN_LINES.items())
    ]
    assert result.examples == tuple(reason for _, reason, _ in desk.rejected()[:5])
    assert len(desk.book.stored()) == len(BROKEN_LINES)


def test_a_file_of_nothing_but_broken_lines_is_counted(desk: Desk) -> None:
    """It was read, so it is known; it has no first and no last tick."""
    result = desk.take(f"{HEADER}x\ny\n")
    assert desk.summary(result) == (2, 0, 0, 2)
    assert (result.record.first, result.record.last) == (None, None)


def test_an_event_time_a_little_ahead_is_taken_and_one_too_far_is_not(desk: Desk) -> None:
    """Clocks differ: max_future_seconds (60) is the bound."""
    now = datetime.now(UTC).replace(microsecond=0)
    near, far = now + timedelta(seconds=30), now + timedelta(seconds=600)
    result = desk.take(f"{HEADER}{near.isoformat()},AAPL,1,\n{far.isoformat()},AAPL,1,\n")
    assert desk.summary(result) == (2, 1, 0, 1)
    assert desk.rejected()[0][1] == f"line 3: time '{far.isoformat()}' is in the future"


def test_a_header_alone_is_a_file_without_rows(desk: Desk) -> None:
    """Nothing to store is no error."""
    for content in (HEADER, HEADER.strip(), HEADER + "\r\n\n  \n"):
        assert desk.summary(desk.take(content)) == (0, 0, 0, 0)


def test_importing_broken_lines_again_keeps_them_once(desk: Desk) -> None:
    """--again counts them again and does not fill the quarantine."""
    content = f"{HEADER}{GOOD}x\n"
    desk.take(content)
    assert desk.summary(desk.take(content, again=True)) == (2, 0, 1, 1)
    assert desk.counts() == (1, 1, 1)


COMPANIES = {
    "MSFT": "1 fields instead of 2",
    "MSFT,Microsoft,Redmond": "3 fields instead of 2",
    ",Nobody": "symbol is empty",
    "TSLA, ": "name is empty",
    'AMZN,"Amazon': "not CSV: unexpected end of data",
    'AMZN,"Amazon"!': "not CSV: ',' expected after '\"'",
    "NUL,A\x00B": "contains a NUL character, which PostgreSQL cannot store",
}


def test_broken_lines_of_companies_are_kept_with_their_numbers(desk: Desk) -> None:
    """An open quote does not swallow the lines after it."""
    text = "".join(f"AAPL,Apple\n{line}\n" for line in COMPANIES) + '"BRK.B","Berkshire, ""B"""\r\n'
    result = desk.take(f"symbol,name\n{text}")
    assert desk.summary(result) == (15, 2, 6, 7)
    assert [row[1:] for row in desk.rejected()] == [
        (f"line {3 + 2 * index}: {reason}", line.replace("\x00", "\ufffd"))
        for index, (line, reason) in enumerate(COMPANIES.items())
    ]
    assert desk.connection.execute("SELECT symbol, name FROM company ORDER BY symbol").fetchall() == [
        ("AAPL", "Apple"),
        ("BRK.B", 'Berkshire, "B"'),
    ]
