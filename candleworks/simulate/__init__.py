"""A server that speaks Twelve Data's websocket protocol and REST paths, for demonstrations, tests and benchmarks.

with running_simulator(rate=50, symbols=["AAPL", "BTC/USD"], seed=1) as simulator:
    simulator.feed_url, simulator.rest_url
"""

from candleworks.simulate.running import RunningSimulator, running_simulator, serve_until_stopped
from candleworks.simulate.server import SimulatorOptions, SimulatorServer, run_simulator

__all__ = [
    "RunningSimulator",
    "SimulatorOptions",
    "SimulatorServer",
    "run_simulator",
    "running_simulator",
    "serve_until_stopped",
]
