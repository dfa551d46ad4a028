"""What the reader returns: rows that every library of tables takes."""

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Table:
    """Rows in an Arrow table, `arrow`.

    Polars, DuckDB, pandas and others take the object as it is, through the Arrow PyCapsule interface.
    """

    def __init__(self, title: str, arrow: pa.Table) -> None:
        self.title = title
        self.arrow = arrow

    def to_polars(self) -> "pl.DataFrame":
        """Return a DataFrame of Polars, without a copy where types allow it."""
        import polars as pl  # noqa: PLC0415 - 0.1 s, and only this needs it

        frame = pl.from_arrow(self.arrow)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table is no series
        return frame

    def to_pandas(self) -> "pd.DataFrame":
        """Return a DataFrame of pandas; times keep their zone."""
        frame: pd.DataFrame = self.arrow.to_pandas()
        return frame

    @property
    def columns(self) -> list[str]:
        names: list[str] = self.arrow.column_names
        return names

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.arrow.schema.__arrow_c_schema__()

    def __repr__(self) -> str:
        rows = f"{len(self):,} row{'' if len(self) == 1 else 's'}"
        times = self.arrow.column(0)
        span = f" from {times[0].as_py()} to {times[-1].as_py()}" if len(self) else ""
        return f"<{self.title}: {rows}{span}; {', '.join(self.columns)}>"
