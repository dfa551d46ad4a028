"""Prefect's engine, which runs one flow run: `python -m flows.support.engine`.

Prefect imports a flow with the working directory first in sys.path, where somebody's own package `flows` would be taken
for ours. Here ours are imported before that.
"""

import gc
import runpy

import candleworks  # noqa: F401 - see above

if __name__ == "__main__":
    gc.disable()  # a tenth of Prefect's import: it makes 150,000 objects, and all of them stay
    import prefect.flow_engine  # noqa: F401

    gc.freeze()
    gc.enable()
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
