"""Libraries that an installation may lack: those that read and write files, which the image of the containers omits."""

import contextlib
from collections.abc import Iterator

from candleworks.errors import UsageError

FILE_LIBRARIES = ("polars", "pyarrow")


@contextlib.contextmanager
def file_libraries() -> Iterator[None]:
    """Import within it what reads or writes files; UsageError where a library for that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in FILE_LIBRARIES:
            raise
        raise UsageError(
            f"Files cannot be read or written here, because {error.name} is not installed: install it, or with"
            " containers run `docker compose run --rm files candleworks ...`."
        ) from None
