"""The scheduled and long-running work as Prefect flows, one per file; `flows.support` has what they share."""

import logging
import os

# Prefect adds a library's log lines to the run (PREFECT_LOGGING_EXTRA_LOGGERS), but leaves its level at WARNING.
_wanted = os.environ.get("CANDLEWORKS_LOG_LEVEL", "INFO")
logging.getLogger("candleworks").setLevel(_wanted if _wanted in logging.getLevelNamesMapping() else "INFO")
