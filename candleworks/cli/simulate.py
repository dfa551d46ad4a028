"""`candleworks simulate`: the vendor's feed and REST paths on loopback, with made-up or recorded prices."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from candleworks.settings import DEFAULT_SYMBOLS
from candleworks.simulate import RunningSimulator, SimulatorOptions, serve_until_stopped


def simulate(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of both the websocket and REST; 0 takes a free one.")] = 8765,
    rate: Annotated[float, typer.Option(help="Ticks per second over all of --symbols together.")] = 20.0,
    symbols: Annotated[
        str, typer.Option(help="Comma-separated symbols that share --rate; unknown ones become simulated stocks.")
    ] = ",".join(DEFAULT_SYMBOLS),
    seed: Annotated[int, typer.Option(help="The same seed makes the same prices.")] = 1,
    replay: Annotated[
        Path | None, typer.Option(help="Send this recording (time,symbol,price,day_volume) instead of made-up prices.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Pace of --replay: 1 real, 0 as fast as the client reads.")] = 1.0,
    keep_stamps: Annotated[
        bool, typer.Option("--keep-stamps", help="Send the stamps of --replay as recorded, not shifted to today.")
    ] = False,
    close_at_end: Annotated[
        bool, typer.Option("--close-at-end", help="Close the connection (1000) when --replay is over.")
    ] = False,
    journal: Annotated[Path | None, typer.Option(help="Write every price event sent to this file, as JSON.")] = None,
    refuse_key: Annotated[list[str] | None, typer.Option(help="API key to refuse; may be repeated.")] = None,
    duration: Annotated[float | None, typer.Option(min=0, help="End after so many seconds.")] = None,
) -> None:
    """Run a server that speaks Twelve Data's protocol, with simulated or recorded prices.

    Any API key is accepted unless it is refused. Tests can ask /simulator/stats, /simulator/send?text=TEXT,
    /simulator/close?code=CODE, /simulator/drop and /simulator/fail?status=CODE.
    """
    options = SimulatorOptions(
        host=host,
        port=port,
        rate=rate,
        symbols=tuple(symbol.strip() for symbol in symbols.split(",") if symbol.strip()),
        seed=seed,
        replay=replay,
        speed=speed,
        keep_stamps=keep_stamps,
        close_at_end=close_at_end,
        journal=journal,
        refused_keys=tuple(refuse_key or ()),
    )

    def announce(actual_port: int) -> None:
        urls = RunningSimulator(host, actual_port)
        typer.echo(f"simulated feed {urls.feed_url} and REST {urls.rest_url}")

    asyncio.run(serve_until_stopped(options, ready=announce, duration_seconds=duration))
