"""A stream follows its configuration while it runs."""

import asyncio
import logging
from pathlib import Path
from typing import Self

import pytest

from candleworks.feed.background import SettingsUpdates
from candleworks.runtime import streaming
from candleworks.runtime.streaming import follow_configuration
from candleworks.settings import Settings, load_settings

PATIENCE_SECONDS = 10


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of the feed that is streamed."""
    monkeypatch.setattr(streaming, "POLL_SECONDS", 0.02)
    monkeypatch.delenv("CANDLEWORKS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "candleworks.yaml"
    write(file, "AAPL")
    return file


def write(file: Path, *symbols: str) -> None:
    file.write_text(f"feeds:\n  - name: stocks\n    symbols: [{', '.join(symbols)}]\n")


def symbols(settings: Settings) -> list[str]:
    return list(settings.feed("stocks").names)


class Following:
    """What follows the configuration, for the length of a `with` block."""

    def __init__(self) -> None:
        self.updates: SettingsUpdates = asyncio.Queue()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(follow_configuration(load_settings(), self.updates, self._stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task

    async def next(self) -> list[str]:
        return symbols(await asyncio.wait_for(self.updates.get(), PATIENCE_SECONDS))

    async def polls(self, count: int) -> None:
        await asyncio.sleep(count * streaming.POLL_SECONDS)


def test_a_changed_configuration_is_handed_on_once(file: Path) -> None:
    """And one that is not changed, or written again as it was, never."""

    async def run() -> None:
        async with Following() as following:
            await following.polls(5)
            write(file, "AAPL")
            await following.polls(5)
            assert following.updates.empty()
            write(file, "AAPL", "MSFT")
            assert await following.next() == ["AAPL", "MSFT"]
            await following.polls(5)
            assert following.updates.empty()
            write(file, "AAPL")
            assert await following.next() == ["AAPL"]

    asyncio.run(run())


def test_a_wrong_configuration_is_told_once_and_changes_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The next right one is followed."""

    async def run() -> None:
        async with Following() as following:
            write(file, "7")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not caplog.messages:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            await following.polls(5)
            assert following.updates.empty()
            write(file, "MSFT")
            assert await following.next() == ["MSFT"]

    with caplog.at_level(logging.ERROR, "candleworks.flows"):
        asyncio.run(run())
    [message] = caplog.messages
    assert message.endswith(" The previous configuration stays in use.")


@pytest.mark.usefixtures("file")
def test_what_is_being_written_waits_until_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a file may be a right one with fewer symbols."""
    versions = iter(
        [load_settings()] + [load_settings({"CANDLEWORKS_WEB_PORT": str(port)}) for port in range(9_000, 9_050)]
    )
    last: list[Settings | str] = []

    def read() -> Settings | str:
        last.append(next(versions, last[-1] if last else ""))
        return last[-1]

    monkeypatch.setattr(streaming, "load_settings", read)

    async def run() -> int:
        async with Following() as following:
            return (await asyncio.wait_for(following.updates.get(), PATIENCE_SECONDS)).web_port

    assert asyncio.run(run()) == 9_049
