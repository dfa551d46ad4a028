"""What can go wrong, sorted by what the caller should do about it.

Every message is one sentence: what failed, the value, and what to do.
"""


class CandleworksError(Exception):
    """Base of every expected failure; the command line prints its text as one line."""

    exit_code = 1


class TransientError(CandleworksError):
    """Trying again later may succeed."""


class TerminalError(CandleworksError):
    """Trying again cannot succeed until somebody changes something."""


class FeedHeldError(TerminalError):
    """Another process streams the feed."""


class UsageError(TerminalError):
    """The command was called wrongly, or cannot run in this situation."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""
