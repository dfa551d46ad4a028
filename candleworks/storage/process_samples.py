"""What the processes of the feeds use, what is left on their machines, and how large the database has become."""

from dataclasses import asdict, dataclass

from candleworks.database.connection import Connection
from candleworks.database.queries import query


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """One process and its machine at one time; `cpu_percent` is of one core, and the disk is that of the home."""

    feed: str
    host: str
    cpu_percent: float
    memory_bytes: int
    machine_cpu_percent: float
    machine_memory_free_bytes: int
    disk_free_bytes: int
    disk_bytes: int


def save_process_sample(connection: Connection, sample: ProcessSample) -> None:
    """Store it with the time of the database."""
    connection.execute(query("save_process_sample"), asdict(sample))


def record_sizes(connection: Connection) -> None:
    """Store the sizes of ticks, candles and the rest, once in an hour whoever calls."""
    connection.execute(query("record_sizes"))
