"""`candleworks simulate`: a simulated vendor."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from candleworks.cli.console import Duration
from candleworks.settings import DEFAULT_SYMBOLS
from candleworks.simulate import RunningSimulator, SimulatorOptions, serve_until_stopped


def simulate(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port for the websocket and REST; 0 chooses a free one.")] = 8765,
    rate: Annotated[float, typer.Option(help="Ticks per second, over all of --symbols together.")] = 20.0,
    symbols: Annotated[
        str, typer.Option(help="Comma-separated symbols that share --rate; unknown ones become simulated stocks.")
    ] = ",".join(DEFAULT_SYMBOLS),
    seed: Annotated[int, typer.Option(help="The same seed generates the same prices.")] = 1,
    replay: Annotated[
        Path | None, typer.Option(help="Send this recording (time,symbol,price,day_volume) instead of made-up prices.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Speed of --replay: 1 is real time, 0 as fast as the client reads.")] = 1,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Keep the event times of --replay instead of shifting them to today.")
    ] = False,
    close_at_end: Annotated[
        bool, typer.Option("--close-at-end", help="Close the connection (code 1000) at the end of --replay.")
    ] = False,
    journal: Annotated[Path | None, typer.Option(help="Write every price event sent to this file, as JSON.")] = None,
    refuse_key: Annotated[list[str] | None, typer.Option(help="API key to reject; repeatable.")] = None,
    duration: Duration = None,
) -> None:
    """Run a simulated Twelve Data server.

    It speaks the vendor's websocket and REST protocols, with made-up or recorded prices. Every API key is accepted
    except those of --refuse-key. Tests can call /simulator/stats, /simulator/send?text=TEXT,
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
        keep_times=keep_times,
        close_at_end=close_at_end,
        journal=journal,
        refused_keys=tuple(refuse_key or ()),
    )

    def announce(actual_port: int) -> None:
        urls = RunningSimulator(host, actual_port)
        typer.echo(f"simulated feed {urls.feed_url} and REST {urls.rest_url}")

    asyncio.run(serve_until_stopped(options, ready=announce, duration_seconds=duration))
