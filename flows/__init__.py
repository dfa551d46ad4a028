"""Everything that runs on its own, as Prefect flows: one thin flow per file; what they share is in `flows.support`."""

import logging
import os

# Prefect shows a library's log lines with the run (PREFECT_LOGGING_EXTRA_LOGGERS), but leaves its level at WARNING.
_wanted = os.environ.get("CANDLEWORKS_LOG_LEVEL", "INFO")
logging.getLogger("candleworks").setLevel(_wanted if _wanted in logging.getLevelNamesMapping() else "INFO")
