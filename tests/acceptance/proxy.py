"""A TCP proxy that can be told to cut, stall, reset and refuse."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Proxy:
    """Carries connections to `target`, an address or a Unix socket; a test's thread switches faults on and off."""

    def __init__(self, target: tuple[str, int] | Path) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._half = False
        self._refusing = False
        self._answer: bytes | None = None
        self.port = 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def cut(self) -> None:
        """Reset every connection, as a router that lost its state does."""
        self._loop.call_soon_threadsafe(self._reset)

    def refuse(self, refusing: bool) -> None:
        """Reset whatever connects, or stop that."""
        self._refusing = refusing

    def answer(self, answer: bytes | None) -> None:
        """Answer whatever connects with these bytes and close, or stop that."""
        self._answer = answer

    def stall(self, stalling: bool) -> None:
        """Keep connections open and carry nothing, or carry again."""
        self._loop.call_soon_threadsafe(self._flowing.clear if stalling else self._flowing.set)

    def break_a_frame(self) -> None:
        """Carry half of what comes next from the target, then reset."""
        self._half = True

    def _reset(self) -> None:
        for writers in list(self._connections):
            for writer in writers:
                _abort(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _abort(writer)
            return
        if self._answer is not None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer)
            writer.close()
            return
        far_reader, far_writer = await self._connect()
        pair = (writer, far_writer)
        self._connections.add(pair)
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer, from_target=True))
        except OSError:
            self._abort_all(pair)
        finally:
            self._connections.discard(pair)
            for end in pair:
                end.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_target: bool = False
    ) -> None:
        while data := await reader.read(65_536):
            await self._flowing.wait()
            if from_target and self._half:
                self._half = False
                writer.write(data[: len(data) // 2])
                await writer.drain()
                raise OSError("cut in the middle of a frame")
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    @staticmethod
    def _abort_all(pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        for writer in pair:
            _abort(writer)

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        started = threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await self._ended.wait()
            server.close()
            self._reset()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._ended = asyncio.Event()
            self._loop.run_until_complete(serve())

        thread = threading.Thread(target=run, name="proxy", daemon=True)
        thread.start()
        assert started.wait(30)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)
            thread.join(30)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset: nothing that is still on its way arrives."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
