"""Batches by size and age, and the waiting of the feed when too much has gathered."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from candleworks.feed.batcher import Batch, Batcher
from candleworks.feed.flush_interval import Pace

NEVER_SECONDS = 1_000.0
PATIENCE_SECONDS = 30.0


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, PATIENCE_SECONDS))


def filled(batcher: Batcher, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        batcher.add(b"%d" % number, number)


async def taken(batcher: Batcher) -> Batch:
    batch = await batcher.next_batch()
    assert batch is not None
    return batch


def test_a_full_batch_comes_at_once() -> None:
    """Size alone is enough: the age would not be reached within the test. The rest stays for the next batch."""

    async def story() -> None:
        batcher = Batcher(max_rows=3, max_buffered=100, pace=Pace(NEVER_SECONDS, NEVER_SECONDS))
        filled(batcher, 7)
        assert (await taken(batcher)).frames == [b"0", b"1", b"2"]
        assert (await taken(batcher)).received_us == [3, 4, 5]
        assert len(batcher) == 1

    run(story())


def test_an_old_batch_comes_though_it_is_not_full() -> None:
    """Age alone is enough, and it counts from the first frame."""

    async def story() -> None:
        batcher = Batcher(max_rows=1_000_000, max_buffered=2_000_000, pace=Pace(0.01))
        filled(batcher, 2)
        assert len(await taken(batcher)) == 2

    run(story())


def test_a_batch_that_fills_while_it_waits_comes_early() -> None:
    """The one who waits for the age is woken by the size."""

    async def story() -> None:
        batcher = Batcher(max_rows=2, max_buffered=100, pace=Pace(NEVER_SECONDS, NEVER_SECONDS))
        filled(batcher, 1)
        waiting = asyncio.create_task(batcher.next_batch())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        filled(batcher, 1, start=1)
        batch = await waiting
        assert batch is not None
        assert batch.frames == [b"0", b"1"]

    run(story())


def test_closing_hands_out_what_is_left() -> None:
    """In batches of at most the size, without waiting for the age; then None, again and again."""

    async def story() -> None:
        batcher = Batcher(max_rows=2, max_buffered=100, pace=Pace(NEVER_SECONDS, NEVER_SECONDS))
        waiting = asyncio.create_task(batcher.next_batch())
        filled(batcher, 3)
        batcher.close()
        sizes = [len(await waiting or ()), len(await taken(batcher))]
        assert sizes == [2, 1]
        assert [await batcher.next_batch(), await batcher.next_batch()] == [None, None]

    run(story())


def test_closing_an_empty_batcher_wakes_who_waits() -> None:
    """With None."""

    async def story() -> None:
        batcher = Batcher(max_rows=2, max_buffered=100, pace=Pace(NEVER_SECONDS, NEVER_SECONDS))
        waiting = asyncio.create_task(batcher.next_batch())
        await asyncio.sleep(0)
        batcher.close()
        assert await waiting is None

    run(story())


def test_the_feed_waits_while_too_much_has_gathered() -> None:
    """From `max_buffered` frames on it is crowded, and room comes when enough was taken."""

    async def story() -> None:
        batcher = Batcher(max_rows=4, max_buffered=8, pace=Pace(NEVER_SECONDS, NEVER_SECONDS))
        filled(batcher, 7)
        assert not batcher.crowded
        filled(batcher, 2, start=7)
        assert batcher.crowded
        waiting = asyncio.create_task(batcher.room())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await taken(batcher)
        await waiting
        assert not batcher.crowded

    run(story())


@given(events=st.lists(st.sampled_from(["frame", "connected", "take"]), max_size=40), max_rows=st.integers(1, 5))
@settings(deadline=None)
def test_nothing_is_lost_or_moved(events: list[str], max_rows: int) -> None:
    """Frames come out once and in order, and each new connection stands before the frame that came after it."""

    async def story() -> None:
        batcher = Batcher(max_rows, max_buffered=1_000, pace=Pace(0))
        came: list[str] = []
        went: list[str] = []
        for number, event in enumerate(events):
            if event == "frame":
                batcher.add(b"%d" % number, number)
                came.append(str(number))
            elif event == "connected":
                batcher.connected()
                if came[-1:] != ["connected"]:
                    came.append("connected")
            elif len(batcher):
                went += story_of(await taken(batcher))
        batcher.close()
        while (batch := await batcher.next_batch()) is not None:
            went += story_of(batch)
        if came[-1:] == ["connected"]:
            came.pop()  # nothing came after it, so nobody has to know
        assert went == came

    run(story())


def story_of(batch: Batch) -> list[str]:
    assert batch.received_us == [int(frame) for frame in batch.frames]
    told: list[str] = []
    for position, frame in enumerate(batch.frames):
        told += ["connected"] * (position in batch.connections)
        told.append(frame.decode())
    return told


def test_taking_all_out_of_turn_does_not_end_the_batches() -> None:
    """Whoever waits for the age of what was taken goes on waiting for what comes next."""

    async def story() -> list[int]:
        batcher = Batcher(max_rows=10, max_buffered=100, pace=Pace(0.05, 0.05))
        batcher.add(b"first", 1)
        waiting = asyncio.create_task(batcher.next_batch())
        await asyncio.sleep(0.01)
        taken = batcher.take_all()
        await asyncio.sleep(0.1)
        assert not waiting.done()
        batcher.add(b"second", 2)
        following = await waiting
        assert following
        return [*taken.received_us, *following.received_us]

    assert asyncio.run(story()) == [1, 2]
