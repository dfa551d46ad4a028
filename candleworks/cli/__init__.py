"""The command line. `run` is the program; it imports the rest, so that Ctrl-C is quiet from the beginning."""


def run() -> None:
    """Run a command."""
    try:
        from candleworks.cli.main import main  # noqa: PLC0415 - see above

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
