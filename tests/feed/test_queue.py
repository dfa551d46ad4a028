"""Entries on their way to the writer: each once, in their order, whatever is slow or full."""

import asyncio
import logging
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from candleworks import clock
from candleworks.feed import queue as queue_module
from candleworks.feed import spool as spool_module
from candleworks.feed.batcher import FlushInterval
from candleworks.feed.connection import SHORT_PAUSE_SECONDS
from candleworks.feed.queue import FeedQueue
from candleworks.feed.spool import Spool
from candleworks.feed.spool_file import QueueEntry
from candleworks.model.gaps import GapNote
from candleworks.settings import Ingest

MAX_TICKS = 40
KEPT_TICKS = MAX_ROWS = MAX_TICKS // 2
LARGEST_BATCH = 9
DISK = 1_000_000
NOTE = GapNote("closed", 1)

Content = tuple[UUID, int, list[bytes], int]

STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, LARGEST_BATCH)),  # so many ticks; without any a note
    st.tuples(st.just("trickle"), st.integers(1, 3)),  # so many ticks that wait for others
    st.tuples(st.just("pile"), st.integers(3, 12)),  # so many batches, while nothing is written
    st.tuples(st.just("write"), st.integers(1, 9)),  # so many entries
    st.tuples(st.just("save"), st.just(0)),
    st.tuples(st.just("save_meanwhile"), st.integers(1, 4)),
    st.tuples(st.just("disk"), st.sampled_from([0, DISK])),  # so many bytes may be used
)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is full for want of memory alone, but for the tests of pauses."""
    monkeypatch.setattr(queue_module, "UNHURRIED_TICKS_PER_SECOND", float("inf"))


def content(entry: QueueEntry) -> Content:
    return entry.run_id, entry.sequence, entry.batch.frames, len(entry.notes)


async def comes(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


class Traffic:
    """What goes into a queue and comes out of it.

    `owed` are the entries that were queued and not returned yet, `open` the frames of the batch that is being filled.
    """

    def __init__(self, directory: Path) -> None:
        self.spool = Spool(directory, "twelvedata", DISK)
        limits = Ingest().model_copy(update={"max_buffered_ticks": MAX_TICKS})
        self.queue = FeedQueue(self.spool, limits, FlushInterval(0.1), lambda _: None)
        self.owed: deque[Content] = deque()
        self.open: list[bytes] = []
        self._entries = 0
        self._frames = 0

    def _expect(self, frames: list[bytes], notes: int = 0) -> None:
        self._entries += 1
        self.owed.append((self.spool.run_id, self._entries, frames, notes))

    def _expect_open(self) -> None:
        if self.open:
            self._expect(self.open)
            self.open = []

    def trickle(self, ticks: int) -> None:
        """As the connection does: only while the queue is not full."""
        for _ in range(0 if self.queue.full else ticks):
            self._frames += 1
            self.open.append(b"%d" % self._frames)
            self.queue.add(self.open[-1], clock.now_us())
            if len(self.open) == MAX_ROWS:
                self._expect_open()

    def put(self, ticks: int) -> None:
        """A whole batch, or a note, which comes before the batch that is being filled."""
        if ticks:
            self.trickle(ticks)
            self.queue.flush()
            self._expect_open()
        else:
            self.queue.put(NOTE)
            self._expect([], 1)

    async def pile(self, batches: int) -> None:
        for _ in range(batches):
            self.put(1 + self._entries % LARGEST_BATCH)
            await self.save()

    async def write(self, entries: int) -> None:
        """As the writer does: the same entry until it is done."""
        for _ in range(min(entries, len(self.owed))):
            entry = await asyncio.wait_for(self.queue.next_entry(), 10)
            assert entry is not None
            assert await self.queue.next_entry() is entry
            assert content(entry) == self.owed.popleft()
            self.queue.done()

    async def save(self, _: int = 0) -> None:
        self.queue.flush()
        self._expect_open()
        await self.queue.save()
        if not self.queue.spool_problem:
            assert not self.queue.unsaved
            assert not self.queue.full

    async def save_meanwhile(self, rounds: int) -> None:
        self.queue.flush()
        self._expect_open()
        saving = asyncio.create_task(self.queue.save())
        for _ in range(rounds):
            await asyncio.sleep(0)
            self.put(LARGEST_BATCH)
            await self.write(1)
        await saving

    def disk(self, max_bytes: int) -> None:
        self.spool.max_bytes = max_bytes

    async def step(self, name: str, amount: int) -> None:
        doing = getattr(self, name)(amount)
        if doing is not None:
            await doing
        assert self.queue.waiting == len(self.open) + sum(len(frames) for _, _, frames, _ in self.owed)
        assert self.queue.in_memory < MAX_TICKS + KEPT_TICKS + 2 * LARGEST_BATCH


async def travel(steps: list[tuple[str, int]], directory: Path) -> None:
    first = Traffic(directory)
    for name, amount in steps:
        await first.step(name, amount)
    first.disk(DISK)
    await first.save()
    first.spool.close()

    following = Traffic(directory)
    again = following.spool.unread - len(first.owed)  # stored already, and the marks in the database say so
    assert again >= 0
    following.put(1)
    found = []
    for _ in range(again + len(first.owed) + 1):
        entry = await asyncio.wait_for(following.queue.next_entry(), 10)
        assert entry is not None
        found.append(content(entry))
        following.queue.done()
    await following.queue.tidy()
    assert found[again:] == [*first.owed, *following.owed]
    assert (following.queue.waiting, following.spool.size_bytes) == (0, 0)
    following.spool.close()


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_every_entry_comes_out_once_and_in_its_order(steps: list[tuple[str, int]]) -> None:
    """However puts, writes and copies to disk follow each other, with a disk that is full at times, and a restart.

    On the way memory stays bounded, and what waits is counted.
    """
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "FILE_BYTES", 400)
        patch.setattr("os.fdatasync", lambda _: None)  # the disk's own business, and most of the time
        asyncio.run(travel(steps, Path(directory)))


def test_a_writer_that_keeps_up_needs_no_disk(tmp_path: Path) -> None:
    """Nothing is copied before its time."""

    async def run() -> None:
        traffic, stop = Traffic(tmp_path), asyncio.Event()
        keeping = asyncio.create_task(traffic.queue.keep_safe(stop))
        for _ in range(5):
            traffic.put(3)
            await asyncio.sleep(0.02)
            await traffic.write(1)
        stop.set()
        await keeping

    asyncio.run(run())
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_what_waits_too_long_is_copied_to_disk(tmp_path: Path) -> None:
    """A note at once, ticks when their commit is late; the writer gets them from memory all the same."""

    async def run() -> None:
        traffic, stop = Traffic(tmp_path), asyncio.Event()
        keeping = asyncio.create_task(traffic.queue.keep_safe(stop))
        for ticks in (3, 0):
            traffic.put(ticks)
            await comes(lambda: not traffic.queue.unsaved)
        assert traffic.spool.unread == 0
        after_a_crash = Spool(copied(tmp_path), "twelvedata", DISK)
        assert [content(entry) for entry in after_a_crash.read(100)] == list(traffic.owed)
        await traffic.write(2)
        stop.set()
        await keeping

    asyncio.run(run())


def copied(directory: Path) -> Path:
    """The files as a crash would leave them."""
    copy = directory / "copy"
    copy.mkdir()
    for path in directory.glob("*.spool"):
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def test_the_feed_waits_while_memory_and_disk_are_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once; reading continues when the disk has space, and nothing is lost."""

    async def run() -> None:
        traffic = Traffic(tmp_path)
        traffic.disk(0)
        while not traffic.queue.full:
            traffic.put(LARGEST_BATCH)
            await traffic.save()
        waiting = asyncio.create_task(traffic.queue.wait_while_full())
        await asyncio.sleep(0)
        assert not waiting.done()
        traffic.disk(DISK)
        await traffic.save()
        await asyncio.wait_for(waiting, 10)
        await traffic.write(100)
        assert not traffic.owed

    asyncio.run(run())
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"Feed twelvedata: the spool {tmp_path} is full (")
    assert record.getMessage().endswith(" of 0 bytes): free disk space, or raise ingest.max_spool_bytes.")


def test_memory_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Frames as large as a vendor may send fill it long before their number does, in memory and read back from disk."""
    limits = Ingest().model_copy(update={"max_buffered_bytes": 16_777_216})
    frame = b"x" * 900_000

    async def run() -> None:
        spool = Spool(tmp_path, "twelvedata", 1_000_000_000)
        queue = FeedQueue(spool, limits, FlushInterval(0.1), lambda _: None)
        for stored_on_disk in (False, True):
            while not queue.full:
                queue.add(frame, clock.now_us())
            assert queue.in_memory * len(frame) <= limits.max_buffered_bytes
            if not stored_on_disk:
                await queue.save()
                assert not queue.full
        frames = queue.waiting
        queue.close()
        while (entry := await queue.next_entry()) is not None:
            assert queue.in_memory * len(frame) <= limits.max_buffered_bytes
            frames -= len(entry.batch)
            queue.done()
        assert frames == 0

    asyncio.run(run())


def test_the_writer_does_not_wait_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does the loop: what is stored is removed from disk when that has time."""
    saving, saved = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        saving.set()
        assert saved.wait(30)

    monkeypatch.setattr("os.fdatasync", slow)

    async def run() -> None:
        traffic = Traffic(tmp_path)
        traffic.put(3)
        saves = asyncio.create_task(traffic.queue.save())
        assert await asyncio.to_thread(saving.wait, 30)
        await traffic.write(1)
        traffic.put(3)
        await traffic.write(1)
        assert not saves.done()
        saved.set()
        await saves

    timeout = threading.Timer(20, saved.set)
    timeout.start()
    asyncio.run(run())
    timeout.cancel()
    assert not list(tmp_path.glob("*.spool"))


def small_batches(directory: Path, max_rows: int) -> FeedQueue:
    limits = Ingest().model_copy(update={"max_batch_rows": max_rows, "max_buffered_ticks": 10_000})
    return FeedQueue(Spool(directory, "twelvedata", DISK), limits, FlushInterval(0.1), lambda _: None)


async def write(queue: FeedQueue, entries: int) -> None:
    for _ in range(entries):
        assert await asyncio.wait_for(queue.next_entry(), 10)
        queue.done()


def test_the_reader_waits_for_a_writer_that_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one entry is left in memory, and none on disk; and not at all at the end."""
    monkeypatch.setattr(queue_module, "UNHURRIED_TICKS_PER_SECOND", 0.001)
    monkeypatch.setattr(queue_module, "MAX_PAUSE_SECONDS", 1_000)
    monkeypatch.setattr(queue_module, "KEPT_TICKS", 1)

    async def run() -> None:
        queue = small_batches(tmp_path, 1)
        for on_disk, enough in ((False, 3), (True, 4)):
            queue.add(b"1", clock.now_us())
            assert not queue.full
            for _ in range(3):
                queue.add(b"1", clock.now_us())
            if on_disk:
                await queue.save()
            waiting = asyncio.create_task(queue.wait_while_full())
            await write(queue, enough - 1)
            await asyncio.sleep(0.01)
            assert not waiting.done()
            await write(queue, 1)
            await asyncio.wait_for(waiting, 10)
            await write(queue, 4 - enough)
        for _ in range(2):
            queue.add(b"1", clock.now_us())
        assert queue.full
        queue.drain()
        assert not queue.full
        queue.add(b"1", clock.now_us())
        assert not queue.full

    asyncio.run(run())


def test_the_reader_does_not_wait_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that hangs slows the reader down, and no further; a pause is too short to be a gap."""
    assert queue_module.MAX_PAUSE_SECONDS < SHORT_PAUSE_SECONDS
    monkeypatch.setattr(queue_module, "UNHURRIED_TICKS_PER_SECOND", 1)

    async def run() -> None:
        queue = small_batches(tmp_path, 500)
        for _ in range(1_000):
            queue.add(b"1", clock.now_us())
        assert queue.full
        await asyncio.wait_for(queue.wait_while_full(), 10)

    asyncio.run(run())


def test_notes_about_a_batch_precede_it(tmp_path: Path) -> None:
    """What is noted when a batch is inspected is stored before it, and what is noted before comes first."""
    limits, later = Ingest(), GapNote("closed", 2)

    async def run() -> None:
        spool = Spool(tmp_path, "twelvedata", DISK)
        queue: FeedQueue = FeedQueue(spool, limits, FlushInterval(0.1), lambda _: queue.put(later))
        queue.add(b"1", clock.now_us())
        queue.put(NOTE)
        queue.close()
        found: list[tuple[list[bytes], tuple[GapNote, ...]]] = []
        while (entry := await queue.next_entry()) is not None:
            found.append((entry.batch.frames, entry.notes))
            queue.done()
        assert found == [([], (NOTE,)), ([], (later,)), ([b"1"], ())]

    asyncio.run(run())


def test_a_batch_that_waits_too_long_is_copied_to_disk(tmp_path: Path) -> None:
    """Also while the writer has not taken it: a crash loses only what came in the last quarter of a second."""

    async def run() -> None:
        traffic, stop = Traffic(tmp_path), asyncio.Event()
        keeping = asyncio.create_task(traffic.queue.keep_safe(stop))
        traffic.trickle(3)
        await comes(lambda: not traffic.queue.unsaved)
        after_a_crash = Spool(copied(tmp_path), "twelvedata", DISK)
        assert [entry.batch.frames for entry in after_a_crash.read(100)] == [[b"1", b"2", b"3"]]
        stop.set()
        await keeping

    asyncio.run(run())


def test_a_full_disk_is_not_asked_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every try puts everything in memory into records."""
    assert queue_module.FULL_INTERVAL_SECONDS >= 10 * queue_module.SAVE_INTERVAL_SECONDS
    monkeypatch.setattr(queue_module, "FULL_INTERVAL_SECONDS", 3_600)

    async def run() -> None:
        traffic, stop = Traffic(tmp_path), asyncio.Event()
        traffic.disk(0)
        traffic.put(0)
        keeping = asyncio.create_task(traffic.queue.keep_safe(stop))
        await comes(lambda: traffic.queue.spool_problem)
        traffic.disk(DISK)
        await asyncio.sleep(5 * queue_module.SAVE_INTERVAL_SECONDS)
        assert traffic.queue.unsaved
        keeping.cancel()

    asyncio.run(run())


def test_the_end_comes_after_everything(tmp_path: Path) -> None:
    """What was put before the close, from memory and from disk, and then no more."""

    async def run() -> None:
        traffic = Traffic(tmp_path)
        for _ in range(8):
            traffic.put(LARGEST_BATCH)
            await traffic.save()
        traffic.put(1)
        traffic.queue.close()
        await traffic.write(9)
        assert not traffic.owed
        assert await traffic.queue.next_entry() is None

    asyncio.run(run())


def test_it_knows_when_its_oldest_tick_came(tmp_path: Path) -> None:
    """Notes have no age; the batch that is being filled counts."""

    async def run() -> None:
        queue = Traffic(tmp_path).queue
        assert queue.oldest_us is None
        queue.put(NOTE)
        for frames in ((5, 6), (7,)):
            for received_us in frames:
                queue.add(b"1", received_us)
            queue.flush()
        queue.add(b"1", 8)
        assert queue.oldest_us == 5
        for expected in (5, 7, 8):
            await queue.next_entry()
            queue.done()
            assert queue.oldest_us == expected

    asyncio.run(run())
