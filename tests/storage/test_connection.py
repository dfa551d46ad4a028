"""What a caller is told when the database does not do what it should."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from candleworks.database.connection import connect, describe, transient_errors
from candleworks.database.engine import Engine
from candleworks.errors import TransientError
from tests.storage.conftest import wait_for_a_lock

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def test_two_who_wait_for_each_other_are_told_to_try_again(dsn: str) -> None:
    """One of them is the victim, and the sentence says that the database is there."""
    keys = ("SELECT pg_advisory_xact_lock(1)", "SELECT pg_advisory_xact_lock(2)")
    with connect(dsn, "one", autocommit=False) as one, connect(dsn, "other", autocommit=False) as other:
        one.execute(keys[0])
        other.execute(keys[1])
        with ThreadPoolExecutor(1) as executor, connect(dsn) as observer:
            waiting = executor.submit(_execute, dsn, one, keys[1])
            wait_for_a_lock(observer, "one")
            ends = [_execute(dsn, other, keys[0])]
            other.rollback()
            ends.append(waiting.result(timeout=30))
        one.rollback()
    (sentence,) = [end for end in ends if end]
    assert sentence.startswith(
        f"The database {describe(dsn)} rolled back a transaction that conflicted with another one (deadlock detected "
    )
    assert sentence.endswith("): try again.")


def _execute(dsn: str, connection: object, sql: str) -> str | None:
    try:
        with transient_errors(dsn):
            connection.execute(sql)  # type: ignore[attr-defined]
    except TransientError as error:
        return str(error)
    return None


def test_a_connection_that_was_cut_is_lost_and_the_sentence_names_the_database(dsn: str) -> None:
    """The password is never part of it."""
    with connect(dsn) as admin, connect(dsn, "victim") as victim:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [victim.info.backend_pid])
        with pytest.raises(TransientError) as caught, transient_errors(dsn):
            victim.execute("SELECT 1")
    assert str(caught.value).startswith(f"The database {describe(dsn)} cannot be reached (")
    assert str(caught.value).endswith("): start it, or correct CANDLEWORKS_DSN.")


def test_every_connection_is_in_utc(dsn: str) -> None:
    """Whatever the server's or the role's zone is."""
    with connect(dsn) as connection:
        connection.execute("ALTER ROLE CURRENT_USER SET TimeZone = 'Asia/Tokyo'")
        try:
            with connect(dsn, "later") as later:
                assert later.execute("SHOW TimeZone").fetchone() == ("UTC",)
                assert later.execute("SHOW application_name").fetchone() == ("candleworks later",)
        finally:
            connection.execute("ALTER ROLE CURRENT_USER RESET TimeZone")
