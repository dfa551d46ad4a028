"""How sessions are opened: six profiles, each with its limits; docs/decisions/0034-connection-profiles.md.

A profile limits how long a session waits: for the network, for a lock, for the end of a statement, for the client in
the middle of a transaction. Limits in the connection string win, unless a profile is `strict`, because somebody waits
for its answer. The time zone, the encoding, read-only and the application name never come from the connection string.
"""

from dataclasses import dataclass

from candleworks.database.connection_string import read_connection_string

# A peer that is gone is noticed after 25 s. Without this a server keeps the locks of a machine that lost its power for
# two hours.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
# With the default of 4 the planner reads all symbols of a day of candles in order of time: 5.4 ms instead of 0.4 ms.
_PLANNER = {"random_page_cost": "1.1"}
_NAME = "candleworks"


@dataclass(frozen=True, slots=True)
class Profile:
    """Limits in seconds, where 0 is none.

    `network_timeout_seconds` is how long the peer may leave what was sent without acknowledgement. `strict` limits hold
    whatever the connection string says. `compiles` lets the server compile expressions (JIT).
    """

    name: str
    statement_timeout_seconds: int
    lock_timeout_seconds: int
    idle_in_transaction_timeout_seconds: int
    connect_timeout_seconds: int
    network_timeout_seconds: int
    read_only: bool = False
    strict: bool = False
    compiles: bool = True

    @property
    def settings(self) -> dict[str, str]:
        """The server's settings that limit a session, and those of its planner."""
        limits = {
            "statement_timeout": f"{self.statement_timeout_seconds}s",
            "lock_timeout": f"{self.lock_timeout_seconds}s",
            "idle_in_transaction_session_timeout": f"{self.idle_in_transaction_timeout_seconds}s",
            **{f"tcp_{name}": str(value) for name, value in _KEEPALIVES.items()},
        }
        return limits | _PLANNER | ({} if self.compiles else {"jit": "off"})

    @property
    def network(self) -> dict[str, str]:
        """The parameters of a connection string that limit the waiting for the network."""
        limits = {
            "connect_timeout": self.connect_timeout_seconds,
            "tcp_user_timeout": self.network_timeout_seconds * 1_000,
            "keepalives": 1,
            **_KEEPALIVES,
        }
        return {name: str(value) for name, value in limits.items()}

    @property
    def fixed(self) -> dict[str, str]:
        """The server's settings that hold whatever the connection string says."""
        return {"TimeZone": "UTC", "default_transaction_read_only": "on"} if self.read_only else {"TimeZone": "UTC"}


# Ticks, imports, gap filling, candles. An import's COPY takes as long as it takes.
WRITER = Profile(
    "writer",
    statement_timeout_seconds=0,
    lock_timeout_seconds=300,
    idle_in_transaction_timeout_seconds=600,
    connect_timeout_seconds=10,
    network_timeout_seconds=300,
)
# Commands that only read. An export takes as long as it takes.
READER = Profile(
    "reader",
    statement_timeout_seconds=0,
    lock_timeout_seconds=60,
    idle_in_transaction_timeout_seconds=600,
    connect_timeout_seconds=10,
    network_timeout_seconds=60,
    read_only=True,
)
# A person, or Prometheus, waits for the page.
WEB = Profile(
    "web",
    statement_timeout_seconds=10,
    lock_timeout_seconds=5,
    idle_in_transaction_timeout_seconds=60,
    connect_timeout_seconds=10,
    network_timeout_seconds=10,
    read_only=True,
    strict=True,
)
# The statements of checks, as those of dashboards: compiling them took longer than running them.
CHECK = Profile(
    "check",
    statement_timeout_seconds=15,
    lock_timeout_seconds=10,
    idle_in_transaction_timeout_seconds=60,
    connect_timeout_seconds=10,
    network_timeout_seconds=15,
    read_only=True,
    strict=True,
    compiles=False,
)
# What notifies people, also about a database that does not answer.
WATCH = Profile(
    "watch",
    statement_timeout_seconds=10,
    lock_timeout_seconds=5,
    idle_in_transaction_timeout_seconds=60,
    connect_timeout_seconds=10,
    network_timeout_seconds=10,
    strict=True,
)
# Migrations, databases and roles. Whoever waits for a table's lock makes everybody else wait behind it.
ADMIN = Profile(
    "admin",
    statement_timeout_seconds=0,
    lock_timeout_seconds=60,
    idle_in_transaction_timeout_seconds=600,
    connect_timeout_seconds=10,
    network_timeout_seconds=300,
)
PROFILES = (WRITER, READER, WEB, CHECK, WATCH, ADMIN)


def session_parameters(dsn: str, profile: Profile, purpose: str | None = None) -> dict[str, str]:
    """Return all parameters of the connection; `purpose` names it in pg_stat_activity, by default the profile does.

    Raises ConfigurationError for an invalid connection string.
    """
    given = read_connection_string(dsn)
    limits, theirs = _options(profile.settings), given.get("options", "")
    options = (theirs, limits) if profile.strict else (limits, theirs)
    network = given | profile.network if profile.strict else profile.network | given
    return network | {
        "options": " ".join(filter(None, (*options, _options(profile.fixed)))),
        "application_name": f"{_NAME} {purpose or profile.name}",
        "client_encoding": "UTF8",  # a server that cannot convert texts (SQL_ASCII) would decide how they are encoded
    }


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())
