"""`candleworks`: every command of the platform."""

import sys

import typer

from candleworks.errors import CandleworksError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Run a command; expected failures become one line and an exit status."""
    try:
        app()
    except CandleworksError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None
