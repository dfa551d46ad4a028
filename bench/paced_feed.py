"""A feed that sends numbered ticks at an even pace and remembers when, to tell how long each takes to be stored.

Usage: python -m bench.paced_feed TICKS_PER_SECOND SECONDS
Prints its port, and after the last tick one JSON list: the monotonic moment of each burst.
"""

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, serve

from candleworks import clock
from candleworks.simulate.ticks import joined_frames, text_frame

SYMBOLS = ("AAPL", "MSFT", "TSLA", "AMZN")
BURST_SECONDS = 0.002
_ACCEPTED = b'{"event":"subscribe-status","status":"ok","success":[%b],"fails":null}' % b",".join(
    b'{"symbol":"%b"}' % symbol.encode() for symbol in SYMBOLS
)
_PRICE = (
    b'{"event":"price","symbol":"%b","currency":"USD","exchange":"NASDAQ","mic_code":"XNGS","type":"Common Stock",'
    b'"timestamp":%d,"price":%d.0,"day_volume":%d}'
)


def burst_size(ticks_per_second: int) -> int:
    return round(ticks_per_second * BURST_SECONDS)


def _burst(first: int, size: int) -> bytes:
    """Frames of the ticks numbered from `first` on; a tick's price is its number."""
    event_time = clock.now_us() // 1_000_000
    symbols = [symbol.encode() for symbol in SYMBOLS]
    return joined_frames(
        [_PRICE % (symbols[n % len(symbols)], event_time, n, n) for n in range(first, first + size)],
    )


async def _stream(connection: ServerConnection, size: int, bursts: int) -> list[float]:
    await connection.recv()
    connection.transport.write(text_frame(_ACCEPTED))
    sent_at = []
    began = clock.monotonic()
    for number in range(bursts):
        await asyncio.sleep(began + number * BURST_SECONDS - clock.monotonic())
        frames = _burst(number * size, size)
        sent_at.append(clock.monotonic())
        connection.transport.write(frames)
    return sent_at


async def _serve(ticks_per_second: int, seconds: float) -> None:
    finished: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()

    async def handle(connection: ServerConnection) -> None:
        if not finished.done():
            finished.set_result(await _stream(connection, burst_size(ticks_per_second), int(seconds / BURST_SECONDS)))
        await connection.wait_closed()

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        print(json.dumps(await finished), flush=True)
        await asyncio.sleep(3_600)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
