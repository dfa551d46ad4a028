"""Libraries that an installation may lack: those of files and tables, which the image of the containers omits."""

import contextlib
from collections.abc import Iterator

from candleworks.errors import MissingLibraryError

FILE_LIBRARIES = ("adbc_driver_manager", "adbc_driver_postgresql", "polars", "pyarrow")


@contextlib.contextmanager
def file_libraries(problem: str = "Files cannot be read or written here") -> Iterator[None]:
    """Import within it what reads or writes files or tables; MissingLibraryError where a library is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in FILE_LIBRARIES:
            raise
        raise MissingLibraryError(
            f"{problem}, because {error.name} is not installed: install it, or with containers run"
            " `docker compose run --rm files candleworks ...`."
        ) from None
