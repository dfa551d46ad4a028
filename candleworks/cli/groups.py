"""The group of all commands. It imports a command's module only when that command is used.

Importing all of them takes a second, and each command needs a small part of what they import.
"""

import importlib
from collections import defaultdict
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

PLAIN: dict[str, Any] = {"pretty_exceptions_enable": False, "rich_markup_mode": None}


class SectionedGroup(TyperGroup):
    """Lists its commands by section, each with the first paragraph of its help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - overrides
        width = max(map(len, self.commands))
        sections = defaultdict(list)
        for name, command in self.commands.items():
            paragraph = (command.help or "").partition("\n\n")[0]
            sections[getattr(command, "rich_help_panel", None)].append((name.ljust(width), paragraph))
        for section, rows in sections.items():
            with formatter.section(section or "Commands"):
                formatter.write_dl(rows)


def subcommands(sentence: str) -> typer.Typer:
    """Return an empty group of commands below one of ours."""
    return typer.Typer(cls=SectionedGroup, **PLAIN, add_completion=False, no_args_is_help=True, help=sentence)


class CommandEntry(NamedTuple):
    """A command as `--help` lists it; `target` is the function or group behind it, as `module:attribute`."""

    name: str
    target: str
    help: str

    def load(self) -> Any:
        """Import the command and return what typer builds from it."""
        module, _, attribute = self.target.partition(":")
        found = getattr(importlib.import_module(f"candleworks.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(**PLAIN, add_completion=False)
            found.command(self.name)(function)
        command = typer.main.get_command(found)
        command.name = self.name
        return command


class LazyCommand(TyperCommand):
    """Stands for a command until it is used."""

    def __init__(self, section: str, entry: CommandEntry) -> None:
        super().__init__(name=entry.name, help=entry.help, rich_help_panel=section, rich_markup_mode=None)
        self.load = entry.load

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments as the command itself does; the context is its own."""
        return self.load().make_context(info_name, args, parent=parent, **extra)


def lazy_group(sections: dict[str, tuple[CommandEntry, ...]], synonyms: dict[str, str]) -> type[SectionedGroup]:
    """Return the class of a group with these commands, for `typer.Typer(cls=...)`.

    `synonyms` are words that people try, with the command or option that is suggested instead.
    """
    listed = [LazyCommand(section, entry) for section, entries in sections.items() for entry in entries]

    class _LazyGroup(SectionedGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes | {"commands": listed})

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            if args[0] in synonyms and not ctx.resilient_parsing:
                ctx.fail(f"No such command {args[0]!r}. Did you mean {synonyms[args[0]]!r}?")
            return super().resolve_command(ctx, args)

    return _LazyGroup
