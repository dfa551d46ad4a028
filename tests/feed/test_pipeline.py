"""Entries on their way to the writer: each once, in their order, whatever is slow or full."""

import asyncio
import logging
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from candleworks import clock
from candleworks.feed import queue as pipeline_module
from candleworks.feed import spool as spool_module
from candleworks.feed.batcher import Batch
from candleworks.feed.queue import Pipeline
from candleworks.feed.spool import Entry, Spool
from candleworks.model.gaps import GapNote

MAX_TICKS = 40
KEPT_TICKS = MAX_TICKS // 2
LARGEST_BATCH = 9
DISK = 1_000_000
NOTE = GapNote("closed", 1)

Content = tuple[UUID, int, list[bytes], int]

STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, LARGEST_BATCH)),  # so many ticks; without any a note
    st.tuples(st.just("pile"), st.integers(3, 12)),  # so many batches, while the writer stands still
    st.tuples(st.just("write"), st.integers(1, 9)),  # so many entries
    st.tuples(st.just("save"), st.just(0)),
    st.tuples(st.just("save_meanwhile"), st.integers(1, 4)),
    st.tuples(st.just("disk"), st.sampled_from([0, DISK])),  # so many bytes may be used
)


def content(entry: Entry) -> Content:
    return entry.run, entry.sequence, entry.batch.frames, len(entry.notes)


def in_memory(pipeline: Pipeline) -> int:
    return sum(len(entry.batch) for entry in pipeline._in_memory())


async def comes(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


class Traffic:
    """What goes into a pipeline and comes out of it; `owed` is what was put and not handed out yet."""

    def __init__(self, directory: Path) -> None:
        self.spool = Spool(directory, "twelvedata", DISK)
        self.pipeline = Pipeline(self.spool, MAX_TICKS, 100)
        self.owed: deque[Content] = deque()
        self._puts = 0

    def put(self, ticks: int) -> None:
        """As the collector does: only where there is room."""
        if self.pipeline.crowded:
            return
        self._puts += 1
        batch = Batch([b"%d.%d" % (self._puts, number) for number in range(ticks)], [clock.now_us()] * ticks)
        notes = () if ticks else (NOTE,)
        self.pipeline.put(batch, *notes)
        self.owed.append((self.spool.run, self._puts, batch.frames, len(notes)))

    async def pile(self, batches: int) -> None:
        for _ in range(batches):
            self.put(1 + self._puts % LARGEST_BATCH)
            await self.save()

    async def write(self, entries: int) -> None:
        """As the writer does: the same entry until it is done."""
        for _ in range(min(entries, len(self.owed))):
            entry = await asyncio.wait_for(self.pipeline.next_entry(), 10)
            assert entry is not None
            assert await self.pipeline.next_entry() is entry
            assert content(entry) == self.owed.popleft()
            self.pipeline.done()

    async def save(self, _: int = 0) -> None:
        await self.pipeline.save()
        if not self.pipeline.full:
            assert not self.pipeline.unsaved
            assert not self.pipeline.crowded

    async def save_meanwhile(self, rounds: int) -> None:
        saving = asyncio.create_task(self.pipeline.save())
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
        assert self.pipeline.waiting == sum(len(frames) for _, _, frames, _ in self.owed)
        assert in_memory(self.pipeline) < MAX_TICKS + KEPT_TICKS + 2 * LARGEST_BATCH


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
        entry = await asyncio.wait_for(following.pipeline.next_entry(), 10)
        assert entry is not None
        found.append(content(entry))
        following.pipeline.done()
    assert found[again:] == [*first.owed, *following.owed]
    assert (following.pipeline.waiting, following.spool.size_bytes) == (0, 0)
    following.spool.close()


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_every_entry_comes_out_once_and_in_its_order(steps: list[tuple[str, int]]) -> None:
    """However puts, writes and copies to disk follow each other, with a disk that is full at times, and a restart.

    On the way memory stays bounded, and what waits is counted.
    """
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "SEGMENT_BYTES", 400)
        patch.setattr("os.fdatasync", lambda _: None)  # the disk's own business, and most of the time
        asyncio.run(travel(steps, Path(directory)))


def test_a_writer_that_keeps_up_needs_no_disk(tmp_path: Path) -> None:
    """Nothing is copied before its time."""

    async def run() -> None:
        traffic, stop = Traffic(tmp_path), asyncio.Event()
        keeping = asyncio.create_task(traffic.pipeline.keep_safe(stop))
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
        keeping = asyncio.create_task(traffic.pipeline.keep_safe(stop))
        for ticks in (3, 0):
            traffic.put(ticks)
            await comes(lambda: not traffic.pipeline.unsaved)
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
    """It is said once; the room comes back with the disk's, and everything is there."""

    async def run() -> None:
        traffic = Traffic(tmp_path)
        traffic.disk(0)
        while not traffic.pipeline.crowded:
            traffic.put(LARGEST_BATCH)
            await traffic.save()
        waiting = asyncio.create_task(traffic.pipeline.room())
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
    assert record.getMessage().endswith(" of 0 bytes): make room, or raise ingest.max_spool_bytes.")


def test_who_reads_waits_for_a_writer_that_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one entry is left in memory, and none on disk; and not at all at the end."""
    monkeypatch.setattr(pipeline_module, "UNHURRIED_TICKS_PER_SECOND", 0.001)

    async def run() -> None:
        traffic = Traffic(tmp_path)
        pipeline = traffic.pipeline
        for on_disk, enough in ((False, 3), (True, 4)):
            for _ in range(4):
                traffic.put(1)
            if on_disk:
                pipeline._kept_ticks = 1
                await traffic.save()
            waiting = asyncio.create_task(pipeline.turn(1))
            await traffic.write(enough - 1)
            await asyncio.sleep(0.01)
            assert not waiting.done()
            await traffic.write(1)
            await asyncio.wait_for(waiting, 10)
            await traffic.write(4 - enough)
        for _ in range(2):
            traffic.put(1)
        waiting = asyncio.create_task(pipeline.turn(1))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        pipeline.let_all_in()
        await asyncio.wait_for(waiting, 10)

    asyncio.run(run())


def test_who_reads_does_not_wait_longer_than_its_ticks_may_last(tmp_path: Path) -> None:
    """A writer that stands still costs a pace that no vendor reaches, and no more."""

    async def run() -> None:
        traffic = Traffic(tmp_path)
        for _ in range(3):
            traffic.put(1)
        await asyncio.wait_for(traffic.pipeline.turn(500), 10)

    asyncio.run(run())


def test_a_full_disk_is_not_asked_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every try puts everything in memory into records."""
    assert pipeline_module.FULL_INTERVAL_SECONDS >= 10 * pipeline_module.SAVE_INTERVAL_SECONDS
    monkeypatch.setattr(pipeline_module, "FULL_INTERVAL_SECONDS", 3_600)

    async def run() -> None:
        traffic, stop = Traffic(tmp_path), asyncio.Event()
        traffic.disk(0)
        traffic.put(0)
        keeping = asyncio.create_task(traffic.pipeline.keep_safe(stop))
        await comes(lambda: traffic.pipeline.full)
        traffic.disk(DISK)
        await asyncio.sleep(5 * pipeline_module.SAVE_INTERVAL_SECONDS)
        assert traffic.pipeline.unsaved
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
        traffic.pipeline.close()
        await traffic.write(9)
        assert not traffic.owed
        assert await traffic.pipeline.next_entry() is None

    asyncio.run(run())


def test_it_knows_when_its_oldest_tick_came(tmp_path: Path) -> None:
    """Notes are of no age."""

    async def run() -> None:
        pipeline = Traffic(tmp_path).pipeline
        assert pipeline.oldest_us is None
        pipeline.put(Batch(), NOTE)
        pipeline.put(Batch([b"1", b"2"], [5, 6]))
        pipeline.put(Batch([b"3"], [7]))
        assert pipeline.oldest_us == 5
        for expected in (5, 7, None):
            await pipeline.next_entry()
            pipeline.done()
            assert pipeline.oldest_us == expected

    asyncio.run(run())
