"""What the command line says about itself."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from candleworks import __version__
from candleworks.cli.main import app
from tests.cli.commands import candleworks
from tests.cli.conftest import Invoke


def commands(of: typer.Typer, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command with the first sentence of its docstring."""
    for command in of.registered_commands:
        assert command.callback
        name = command.name or command.callback.__name__.replace("_", "-")
        yield (*path, name), inspect.getdoc(command.callback).splitlines()[0]
    for group in of.registered_groups:
        assert group.typer_instance
        assert group.name
        yield (*path, group.name), str(group.typer_instance.info.help)
        yield from commands(group.typer_instance, *path, group.name)


@pytest.mark.parametrize(("command", "sentence"), [pytest.param(*each, id=" ".join(each[0])) for each in commands(app)])
def test_every_command_says_what_it_does(invoke: Invoke, command: tuple[str, ...], sentence: str) -> None:
    """`--help` shows its options and begins with a whole sentence."""
    ended = invoke(*command, "--help")
    words = " ".join(ended.output.split())
    assert (ended.status, ended.errors) == (0, "")
    assert words.startswith(f"Usage: candleworks {' '.join(command)} ")
    assert sentence in words
    assert sentence[0].isupper()
    assert "--help" in words


def test_the_program_lists_its_commands(tmp_path: Path) -> None:
    """As a process, with status 0."""
    ended = candleworks("--help", directory=tmp_path)
    assert (ended.status, ended.errors) == (0, "")
    for command, _ in commands(app):
        assert f"  {command[0]} " in ended.output


def test_the_program_knows_its_version(invoke: Invoke) -> None:
    """The one of the package."""
    assert invoke("--version") == (0, f"candleworks {__version__}\n", "")


@pytest.mark.parametrize("arguments", [("status", "--bogus"), ("bogus",), ("import",), ("up", "--duration", "soon")])
def test_a_wrong_call_is_told_apart_from_a_failure(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    """Status 2, nothing on standard output, and a hint at --help."""
    ended = invoke(*arguments)
    assert (ended.status, ended.output) == (2, "")
    assert "--help" in ended.errors
    assert "Traceback" not in ended.errors
