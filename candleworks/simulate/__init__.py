"""A server that speaks Twelve Data's websocket protocol and REST paths, for demonstrations, tests and benchmarks.

with running_simulator(rate=50, symbols=["AAPL", "BTC/USD"], seed=1) as simulator:
    simulator.feed_url, simulator.rest_url
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candleworks.simulate.control import RunningSimulator
    from candleworks.simulate.running import running_simulator, serve_until_stopped
    from candleworks.simulate.server import SimulatorOptions, SimulatorServer, run_simulator

# Imported when they are asked for: `up` needs the addresses of a simulator, and not numpy, which the server needs.
_MODULES = {
    "RunningSimulator": "control",
    "SimulatorOptions": "server",
    "SimulatorServer": "server",
    "run_simulator": "server",
    "running_simulator": "running",
    "serve_until_stopped": "running",
}

__all__ = [
    "RunningSimulator",
    "SimulatorOptions",
    "SimulatorServer",
    "run_simulator",
    "running_simulator",
    "serve_until_stopped",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
