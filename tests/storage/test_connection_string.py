"""Connection strings whose password was not encoded: no part of it is ever printed."""

import itertools
from collections.abc import Callable
from urllib.parse import quote

import psycopg
import pytest

from candleworks.database.connection import connect, describe, open_pool, sqlalchemy_url, transient_errors
from candleworks.database.connection_string import read_connection_string
from candleworks.database.profiles import CHECK, WEB
from candleworks.database.reader_role import address_of
from candleworks.errors import CandleworksError, ConfigurationError
from tests.cli.conftest import Invoke, invoke

__all__ = ["invoke"]  # a fixture
HOSTILE = "/@:%#?'\" \\[]&=,"
# Words of the password, which no sentence of ours has.
WORDS = ("zq1", "12", "xw3")
SECRETS = ("zq1", "xw3")
PASSWORDS = [
    f"{a}{one}{b}{other}{c}"
    for (a, b, c) in (WORDS, WORDS[::-1], ("12", "zq1", "xw3"))
    for one, other in itertools.product(HOSTILE, HOSTILE)
]
URL, KEYWORDS = "postgresql://me:{}@127.0.0.1:1/market", "host=127.0.0.1 port=1 user=me password={} dbname=market"
OTHERS = ("postgres://me:{}@127.0.0.1/market", "password={}", "user=me password='{}' host=127.0.0.1 port=1", "{}")


def sentence(action: Callable[[], object]) -> str:
    """What is said about a connection string, or its description."""
    try:
        return str(action())
    except CandleworksError as error:
        return f"{error} {error.__cause__}"


def leaked(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("form", [URL, KEYWORDS, *OTHERS])
def test_a_description_has_no_part_of_a_password(form: str) -> None:
    """Whatever characters it has, and wherever the driver would cut it."""
    found = {dsn: leaked(sentence(lambda: describe(dsn))) for dsn in map(form.format, PASSWORDS)}  # noqa: B023
    assert [dsn for dsn, secrets in found.items() if secrets] == []


@pytest.mark.parametrize("read", [address_of, lambda dsn: open_pool(dsn, "test", profile=WEB, max_size=1), connect])
def test_whoever_reads_a_connection_string_refuses_the_same(read: Callable[[str], object]) -> None:
    """With the same sentence."""
    for dsn in ("postgresql://me:zq1/xw3@h/db", "postgresql://me:1/xw3@h/db", "postgresql://me:zq1@xw3@h/db", "xw3"):
        with pytest.raises(ConfigurationError, match="CANDLEWORKS_DSN is not a valid connection string: ") as caught:
            read(dsn)
        assert leaked(str(caught.value)) == []


@pytest.mark.parametrize("password", ["zq1/xw3", "12/xw3", "zq1@xw3", "zq1#?xw3", "zq1' xw3", '"xw3', "%zq", "zq:xw3"])
@pytest.mark.parametrize("form", [URL, KEYWORDS])
@pytest.mark.parametrize("command", ["status", "doctor", "migrate", "alerts list", "up --no-prefect", "serve --port 0"])
def test_no_command_prints_a_part_of_a_password(invoke: Invoke, command: str, form: str, password: str) -> None:
    """Neither where the string is refused, nor where its server does not answer; tracebacks included."""
    ended = invoke("--debug", *command.split(), CANDLEWORKS_DSN=form.format(password), CANDLEWORKS_WEB_PORT=18059)
    assert ended.status != 0
    assert leaked(ended.output + ended.errors) == []


@pytest.mark.parametrize("password", ["zq1/xw3", "zq1@xw3", "zq1%xw3", "zq1 xw3", "zq1'xw3", 'zq1"#?:xw3', "zq1\\xw3"])
def test_an_encoded_password_is_read_as_it_is(password: str) -> None:
    """Percent-encoded in a URL, or quoted after a keyword, it may have any character."""
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    for dsn in (URL.format(quote(password, safe="")), KEYWORDS.format(f"'{escaped}'")):
        assert read_connection_string(dsn)["password"] == password
        assert describe(dsn) == "market on 127.0.0.1:1"


@pytest.mark.parametrize(
    ("dsn", "parts"),
    [
        ("postgresql:///market?host=/run/postgresql", {"dbname": "market", "host": "/run/postgresql"}),
        ("postgresql://me@/market?host=/srv/a", {"user": "me", "dbname": "market", "host": "/srv/a"}),
        ("postgresql://me%40tenant:p%2Fw@h:5432/m", {"user": "me@tenant", "password": "p/w", "host": "h"}),
        ("postgresql://h1:1,h2:2/m?target_session_attrs=any", {"host": "h1,h2", "port": "1,2"}),
        ("postgresql://me:p?#w@[::1]:5432/m", {"password": "p?#w", "host": "::1"}),
        ("service=market", {"service": "market"}),
        ("", {}),
    ],
)
def test_valid_connection_strings_are_read_as_the_driver_does(dsn: str, parts: dict[str, str]) -> None:
    """Sockets, several hosts, services and encoded names included."""
    found = read_connection_string(dsn)
    assert parts.items() <= found.items()
    assert found == psycopg.conninfo.conninfo_to_dict(dsn)


def test_errors_of_a_pool_and_of_sqlalchemy_have_no_password() -> None:
    """An address that is right, of a server that does not answer."""
    dsn = URL.format("zq1%2Fxw3")
    assert leaked(sentence(lambda: connect(dsn))) == []
    with pytest.raises(CandleworksError) as caught, transient_errors(dsn):
        raise psycopg.OperationalError("down")
    assert leaked(str(caught.value)) == []
    assert "zq1%2Fxw3" in sqlalchemy_url(dsn, CHECK, "test")
