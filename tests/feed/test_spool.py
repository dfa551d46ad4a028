"""Entries on disk: complete and in order, whatever happens to the process, the disk or the bytes."""

import itertools
import logging
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from candleworks.errors import TerminalError
from candleworks.feed import spool as spool_module
from candleworks.feed.batcher import Batch
from candleworks.feed.spool import Spool, SpoolFullError
from candleworks.feed.spool_file import QueueEntry
from candleworks.model.gaps import GapNote

NOTE = GapNote("opened", 7, "AAPL", "silent")
LIMIT_BYTES = 10_000_000

Content = tuple[int, list[bytes], list[int], list[int], tuple[GapNote, ...]]


def opened(directory: Path, max_bytes: int = LIMIT_BYTES) -> Spool:
    return Spool(directory, "twelvedata", max_bytes)


def entry(spool: Spool, sequence: int, ticks: int = 2, *notes: GapNote) -> QueueEntry:
    frames = [b'{"event":"price","n":%d.%d,"text":"\xc3\xbc\x00"}' % (sequence, n) for n in range(ticks)]
    return QueueEntry(spool.run_id, sequence, Batch(frames, list(range(ticks)), [0] if sequence == 1 else []), notes)


def fill(spool: Spool, *sequences: int) -> list[Content]:
    """Append an entry each, to be read back."""
    entries = [entry(spool, sequence, sequence % 3, *[NOTE] * (sequence % 2)) for sequence in sequences]
    for one in entries:
        spool.append([one], keep_unread=True)
    return [content(one) for one in entries]


def content(entry: QueueEntry) -> Content:
    batch = entry.batch
    return entry.sequence, batch.frames, batch.received_us, batch.connections, entry.notes


def drain(spool: Spool, max_ticks: int = 3) -> list[QueueEntry]:
    """Read everything back, each part done before the next is read."""
    found: list[QueueEntry] = []
    while spool.unread:
        part = spool.read(max_ticks)
        assert part
        for one in part:
            spool.done(one)
        found += part
    assert (spool.read(max_ticks), spool.unread_ticks) == ([], 0)
    return found


def reopened(spool: Spool, directory: Path) -> Spool:
    """What the next process finds."""
    spool.close()
    return opened(directory)


def names(directory: Path, ending: str = "spool") -> list[str]:
    return sorted(path.name for path in directory.glob(f"*.{ending}"))


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file for every two or three records."""
    monkeypatch.setattr(spool_module, "FILE_BYTES", 150)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("restarted", [False, True])
def test_everything_is_read_back_in_its_order(tmp_path: Path, restarted: bool) -> None:
    """Frames, times, connections and notes, from several files, by the same process or the next one."""
    spool = opened(tmp_path)
    put = fill(spool, *range(1, 21))
    assert len(names(tmp_path)) > 3
    if restarted:
        spool = reopened(spool, tmp_path)
    assert (spool.unread, spool.unread_ticks) == (20, sum(len(frames) for _, frames, *_ in put))
    assert [content(one) for one in drain(spool)] == put


@pytest.mark.usefixtures("small_files")
def test_earlier_runs_come_first(tmp_path: Path) -> None:
    """Each run keeps its number and counts from one."""
    expected: list[tuple[UUID, int]] = []
    for count in (3, 4, 5):
        spool = opened(tmp_path)
        fill(spool, *range(1, count + 1))
        expected += [(spool.run_id, sequence) for sequence in range(1, count + 1)]
        spool.close()
    assert [(one.run_id, one.sequence) for one in drain(opened(tmp_path))] == expected


@pytest.mark.usefixtures("small_files")
def test_a_file_goes_when_everything_in_it_is_stored(tmp_path: Path) -> None:
    """Not before, so that a crash finds what is not stored; and in the end no file is left."""
    spool = opened(tmp_path)
    fill(spool, *range(1, 13))
    left = len(names(tmp_path))
    for one in spool.read(1_000):
        assert reread(tmp_path) >= 13 - one.sequence
        spool.done(one)
        assert len(names(tmp_path)) in (left, left - 1)
        left = len(names(tmp_path))
    assert (left, spool.size_bytes) == (0, 0)


def reread(directory: Path) -> int:
    """How many records a process would find after a crash now."""
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    spool = opened(copy)
    spool.close()
    shutil.rmtree(copy)
    return spool.unread


def test_what_is_kept_in_memory_too_is_not_read_back(tmp_path: Path) -> None:
    """Until it is left to the disk alone, or another process asks for it."""
    spool = opened(tmp_path)
    entries = [entry(spool, sequence) for sequence in (1, 2, 3)]
    spool.append(entries, keep_unread=False)
    assert (spool.unread, spool.read(100)) == (0, [])
    spool.leave_unread(entries[1:])
    assert (spool.unread, spool.unread_ticks) == (2, 4)
    assert [one.sequence for one in spool.read(100)] == [2, 3]
    assert [one.sequence for one in reopened(spool, tmp_path).read(100)] == [1, 2, 3]


def test_a_torn_last_record_is_cut_off(tmp_path: Path) -> None:
    """Wherever a crash cut the file: exactly the whole records remain, and new ones can follow."""
    spool = opened(tmp_path / "whole")
    put = fill(spool, 1, 2)
    kept = spool.size_bytes
    fill(spool, 5)
    [name] = names(tmp_path / "whole")
    whole = (tmp_path / "whole" / name).read_bytes()
    for size in range(kept, len(whole)):
        directory = tmp_path / f"cut-{size}"
        directory.mkdir()
        (directory / name).write_bytes(whole[:size])
        torn = opened(directory)
        assert (torn.unread, (directory / name).stat().st_size) == (2, kept)
        added = fill(torn, 1)
        assert [content(one) for one in drain(torn)] == put + added
        torn.close()


def test_a_file_without_a_whole_record_is_removed(tmp_path: Path) -> None:
    """Cut within its only record, or never written to but for its length."""
    spool = opened(tmp_path)
    fill(spool, 1)
    spool.close()
    [path] = tmp_path.glob("*.spool")
    for contents in (b"", path.read_bytes()[:-1], bytes(4_096)):
        path.write_bytes(contents)
        spool = opened(tmp_path)
        assert (spool.unread, names(tmp_path)) == (0, [])
        spool.close()


@pytest.mark.usefixtures("small_files")
def test_changed_bytes_cost_no_more_than_their_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever byte it is: what precedes it is read, the rest of the file is recorded as a gap, and others follow.

    The note is in its place between the entries, with the number of what it stands for.
    """
    source = tmp_path / "source"
    spool = opened(source)
    put = fill(spool, *range(1, 11))
    spool.close()
    victim = names(source)[1]
    bounds = sequences_of(source)
    first, last = bounds[victim]
    size = (source / victim).stat().st_size
    for position in range(0, size, 3):
        directory = tmp_path / f"changed-{position}"
        shutil.copytree(source, directory)
        changed = bytearray((directory / victim).read_bytes())
        changed[position] ^= 0x10
        (directory / victim).write_bytes(changed)
        damaged = opened(directory)
        found = drain(damaged)
        damaged.close()
        gaps = [one for one in found if one.notes[:1] == (GapNote("opened", None, None, "damaged"),)]
        assert len(gaps) == 1
        before = [content(one) for one in found[: found.index(gaps[0])]]
        assert before == put[: len(before)]
        assert first - 1 <= len(before) < last
        assert len(before) < gaps[0].sequence <= last
        assert [content(one) for one in found[len(before) + 1 :]] == put[last:]
        assert gaps[0].notes[1].kind == "closed"
        assert (names(directory), names(directory, "damaged")) == ([], [victim.replace(".spool", ".damaged")])
    assert any("is damaged from byte" in record.getMessage() for record in caplog.records)


def sequences_of(directory: Path) -> dict[str, tuple[int, int]]:
    """The first and the last sequence of each file."""
    firsts = [(name, int(name.split(".")[1])) for name in names(directory)]
    return {
        name: (first, following - 1)
        for (name, first), (_, following) in itertools.pairwise([*firsts, ("", 1 + firsts[-1][1])])
    }


def test_a_damaged_file_stays_until_what_was_read_of_it_is_stored(tmp_path: Path) -> None:
    """A crash between reading and storing loses nothing of it."""
    spool = opened(tmp_path)
    put = fill(spool, 1, 2, 4)
    spool.close()
    [path] = tmp_path.glob("*.spool")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    first = opened(tmp_path)
    assert [one.sequence for one in first.read(100)] == [1, 2, 4]
    second = reopened(first, tmp_path)
    found = second.read(100)
    assert [content(one) for one in found[:2]] == put[:2]
    assert found[2].notes[0].reason == "damaged"
    for one in found:
        second.done(one)
    assert len(names(tmp_path, "damaged")) == 1


def test_the_spool_keeps_to_its_limit(tmp_path: Path) -> None:
    """Entries that would exceed it are rejected together; space is free again when something is stored."""
    spool = opened(tmp_path)
    spool.append([entry(spool, 1)], keep_unread=True)
    size = spool.size_bytes
    small = reopened(spool, tmp_path)
    small.max_bytes = 2 * size
    with pytest.raises(SpoolFullError) as caught:
        small.append([entry(small, 2), entry(small, 3)], keep_unread=True)
    assert str(caught.value) == "264 of 224 bytes"
    assert (small.unread, small.size_bytes) == (1, size)
    drain(small)
    small.append([entry(small, 1), entry(small, 2)], keep_unread=True)
    assert [one.sequence for one in drain(small)] == [1, 2]


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.feed.test_spool import drain, entry, opened
from candleworks.feed.spool import SpoolFullError

spool = opened(Path(sys.argv[1]))
spool.append([entry(spool, 1)], keep_unread=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for _ in range(3):
    try:
        spool.append([entry(spool, 2), entry(spool, 3, 100)], keep_unread=True)
    except SpoolFullError as problem:
        on_disk = sum(path.stat().st_size for path in spool.directory.glob("*.spool"))
        print(problem, spool.unread, spool.size_bytes == on_disk)
spool.append([entry(spool, 2)], keep_unread=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.append([entry(spool, 3, 100)], keep_unread=True)
print([(one.sequence, len(one.batch)) for one in drain(spool)], len(list(spool.directory.glob("*.spool"))))
"""


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY, reason="files are limited")
def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """Nothing half written stays, everything written before can be read, and writing continues when space is free."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), "1000"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.stdout.splitlines()) == (
        "",
        [*["[Errno 27] File too large 1 True"] * 3, "[(1, 2), (2, 2), (3, 100)] 0"],
    )


def test_one_process_has_the_spool(tmp_path: Path) -> None:
    """The error names the process that owns the lock, which ends when that one closes the spool, or dies."""
    holding = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    with holding:
        assert holding.stdout
        assert holding.stdout.readline() == "held\n"
        with pytest.raises(TerminalError) as caught:
            opened(tmp_path)
        holding.kill()
    assert str(caught.value) == (
        f"Feed twelvedata is already being streamed (process {holding.pid} uses {tmp_path}): stop that one first."
    )
    opened(tmp_path).close()
    opened(tmp_path).close()


HOLD = """
import sys, time
from pathlib import Path
from candleworks.feed.spool import Spool

spool = Spool(Path(sys.argv[1]), "twelvedata", 1_000)
print("held", flush=True)
time.sleep(60)
"""


def test_a_spool_directory_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    """For example because a file has its name."""
    (tmp_path / "spool").write_text("")
    with pytest.raises(TerminalError) as caught:
        opened(tmp_path / "spool")
    assert str(caught.value) == (
        f"Feed twelvedata: the spool directory {tmp_path / 'spool'} cannot be used (File exists): set CANDLEWORKS_HOME"
        " to a directory that can be written."
    )


def test_foreign_files_are_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever they are called; a spool file by name alone is named."""
    caplog.set_level(logging.WARNING)
    foreign = {"notes.txt": b"mine", "backup.spool": b"mine too", "0-no-run.1.spool": b"\x00" * 40, "x.damaged": b"old"}
    for name, contents in foreign.items():
        (tmp_path / name).write_bytes(contents)
    spool = opened(tmp_path)
    fill(spool, 1)
    drain(spool)
    assert {name: (tmp_path / name).read_bytes() for name in foreign} == foreign
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"{tmp_path / name} is not a spool file of candleworks and is ignored."
        for name in ("0-no-run.1.spool", "backup.spool")
    ]
