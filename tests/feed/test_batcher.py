"""Batches by size and age, how long they wait, and the pauses of the reader."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from candleworks import clock
from candleworks.feed import queue as queue_module
from candleworks.feed.batcher import COMMITS_PER_BATCH, REMEMBERED_COMMITS, Batch, FlushInterval
from candleworks.feed.queue import FeedQueue
from candleworks.feed.spool import Spool
from candleworks.model.gaps import GapNote
from candleworks.settings import Ingest

NEVER_SECONDS = 1_000.0
TIMEOUT_SECONDS = 30.0
NOTE = GapNote("closed", 1)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, TIMEOUT_SECONDS))


def queue_of(directory: Path, max_rows: int, seconds: float = NEVER_SECONDS, max_ticks: int = 2_000_000) -> FeedQueue:
    """A queue whose batches are due after so many seconds."""
    limits = Ingest().model_copy(update={"max_batch_rows": max_rows, "max_buffered_ticks": max_ticks})
    spool = Spool(directory, "twelvedata", 1_000_000)
    return FeedQueue(spool, limits, FlushInterval(seconds, seconds), lambda _: None)


def fill(queue: FeedQueue, count: int, start: int = 0) -> None:
    """Add frames that say their numbers and arrive now."""
    for number in range(start, start + count):
        queue.add(b"%d" % number, clock.now_us())


async def written(queue: FeedQueue) -> Batch:
    """The next batch, which is stored at once."""
    entry = await queue.next_entry()
    assert entry is not None
    queue.done()
    return entry.batch


def test_a_full_batch_comes_at_once(tmp_path: Path) -> None:
    """Size alone is enough: no batch is due within the test. The rest stays for the next batch."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=3)
        fill(queue, 7)
        assert (await written(queue)).frames == [b"0", b"1", b"2"]
        assert (await written(queue)).frames == [b"3", b"4", b"5"]
        assert queue.waiting == 1

    run(test())


def test_a_due_batch_comes_though_it_is_not_full(tmp_path: Path) -> None:
    """Age alone is enough, and it counts from the first frame."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=1_000_000, seconds=0.2)
        fill(queue, 2)
        began = clock.monotonic()
        await asyncio.sleep(0.1)
        fill(queue, 1)
        assert len(await written(queue)) == 3
        assert clock.monotonic() - began < 0.3

    run(test())


def test_a_batch_that_fills_while_it_waits_comes_early(tmp_path: Path) -> None:
    """Who waits until it is due is woken when it is full."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=2)
        fill(queue, 1)
        waiting = asyncio.create_task(written(queue))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        fill(queue, 1, start=1)
        assert (await waiting).frames == [b"0", b"1"]

    run(test())


def test_what_arrives_during_a_commit_is_one_batch(tmp_path: Path) -> None:
    """However long it takes; when it is over, a batch that is due waits no longer."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=1_000, seconds=0.01)
        fill(queue, 1)
        assert (await queue.next_entry()) is not None
        for number in range(5):
            fill(queue, 1, start=number)
            await asyncio.sleep(0.02)
        queue.done()
        assert (await asyncio.wait_for(written(queue), 1)).frames == [b"0", b"1", b"2", b"3", b"4"]

    run(test())


def test_closing_returns_what_is_left(tmp_path: Path) -> None:
    """Without waiting until it is due; then None, again and again."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=2)
        waiting = asyncio.create_task(written(queue))
        fill(queue, 3)
        queue.close()
        assert [len(await waiting), len(await written(queue))] == [2, 1]
        assert [await queue.next_entry(), await queue.next_entry()] == [None, None]

    run(test())


def test_closing_an_empty_queue_wakes_who_waits(tmp_path: Path) -> None:
    """With None."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=2)
        waiting = asyncio.create_task(queue.next_entry())
        await asyncio.sleep(0)
        queue.close()
        assert await waiting is None

    run(test())


def test_the_reader_waits_while_too_much_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `max_buffered_ticks` on the queue is full, and no longer when enough is written."""
    monkeypatch.setattr(queue_module, "UNHURRIED_TICKS_PER_SECOND", float("inf"))

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=4, max_ticks=8)
        fill(queue, 7)
        assert not queue.full
        fill(queue, 1)
        assert queue.full
        waiting = asyncio.create_task(queue.wait_while_full())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await written(queue)
        await waiting
        assert not queue.full

    run(test())


def test_a_batch_is_at_most_half_of_what_fits_into_memory(tmp_path: Path) -> None:
    """Whatever `max_batch_rows` says, the bound on memory holds."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=1_000, max_ticks=8)
        fill(queue, 8)
        assert queue.full
        assert [len(await written(queue)) for _ in range(2)] == [4, 4]

    run(test())


steps = st.lists(st.sampled_from(["frame", "connected", "write", "flush", "note"]), max_size=40)


def happen(queue: FeedQueue, number: int, event: str, came: list[str]) -> None:
    if event == "frame":
        queue.add(b"%d" % number, number)
        came.append(str(number))
    elif event == "connected":
        queue.connected()
        if came[-1:] != ["connected"]:
            came.append("connected")
    elif event == "flush":
        queue.flush()
    elif event == "note":
        queue.put(NOTE)


async def passed_through(queue: FeedQueue, events: list[str]) -> tuple[list[str], list[str]]:
    came: list[str] = []
    went: list[str] = []
    for number, event in enumerate(events):
        happen(queue, number, event, came)
        if event == "write" and queue.waiting:
            went += marked(await written(queue))
    queue.close()
    while await queue.next_entry() is not None:
        went += marked(await written(queue))
    return came, went


@given(events=steps, max_rows=st.integers(1, 5))
@hypothesis_settings(deadline=None)
def test_nothing_is_lost_or_reordered(events: list[str], max_rows: int) -> None:
    """Frames come out once and in order, and each new connection is marked at the frame that came after it."""

    async def test() -> None:
        with tempfile.TemporaryDirectory() as directory:
            came, went = await passed_through(queue_of(Path(directory), max_rows, seconds=0), events)
        if came[-1:] == ["connected"]:
            came.pop()  # nothing came after it
        assert went == came

    run(test())


def marked(batch: Batch) -> list[str]:
    """The frames, with the marks of connections between them."""
    assert batch.received_us == [int(frame) for frame in batch.frames]
    found: list[str] = []
    for position, frame in enumerate(batch.frames):
        found += ["connected"] * (position in batch.connections)
        found.append(frame.decode())
    return found


def test_flushing_does_not_end_the_batches(tmp_path: Path) -> None:
    """The flushed batch comes at once, and the next one when it is due."""

    async def test() -> None:
        queue = queue_of(tmp_path, max_rows=10, seconds=0.2)
        fill(queue, 1)
        waiting = asyncio.create_task(written(queue))
        await asyncio.sleep(0.01)
        queue.flush()
        assert (await asyncio.wait_for(waiting, 0.1)).frames == [b"0"]
        fill(queue, 1, start=1)
        assert (await written(queue)).frames == [b"1"]

    run(test())


class FakeClock:
    """The monotonic clock, set by the test."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def commit(self, interval: FlushInterval, seconds: float, error: Exception | None = None) -> None:
        with interval.measure_commit():
            self.seconds += seconds
            if error is not None:
                raise error


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake_clock = FakeClock()
    monkeypatch.setattr(clock, "monotonic", lambda: fake_clock.seconds)
    return fake_clock


def test_fast_commits_shorten_the_interval(fake_clock: FakeClock) -> None:
    """A commit of 5 ms is worth waiting for 30."""
    interval = FlushInterval(0.1, 0.1)
    for _ in range(10 * REMEMBERED_COMMITS):
        fake_clock.commit(interval, 0.005)
    assert interval.seconds == pytest.approx(0.005 * COMMITS_PER_BATCH, rel=0.01)


def test_one_slow_commit_counts_as_one(fake_clock: FakeClock) -> None:
    """A checkpoint hardly slows down what comes after it."""
    interval = FlushInterval(0.1, 0.03)
    fake_clock.commit(interval, 60)
    assert interval.seconds == pytest.approx(0.03 + (0.1 - 0.03) / REMEMBERED_COMMITS)


def test_a_commit_that_fails_counts_too(fake_clock: FakeClock) -> None:
    """As any other; what comes after it does not wait for it."""
    interval = FlushInterval(0.1)
    with pytest.raises(OSError, match="gone"):
        fake_clock.commit(interval, 1, OSError("gone"))
    fake_clock.seconds += 10
    assert interval.seconds == pytest.approx(0.02 + (0.1 - 0.02) / REMEMBERED_COMMITS)


def test_no_interval_exceeds_the_configured_one() -> None:
    """From the first batch on."""
    assert FlushInterval(0.001).seconds == 0.001
