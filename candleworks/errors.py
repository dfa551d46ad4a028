"""Expected errors, by what the caller can do about them.

Every message is one sentence: what failed, the value, and what to do.
"""


class CandleworksError(Exception):
    """Base of all expected errors; the command line prints the message as one line."""

    exit_code = 1


class TransientError(CandleworksError):
    """A retry may succeed."""


class TerminalError(CandleworksError):
    """A retry cannot succeed until a person changes something."""


class FeedLockedError(TerminalError):
    """Another process streams the feed."""


class UsageError(TerminalError):
    """The arguments are invalid, or the command cannot run in this situation."""

    exit_code = 2


class MissingLibraryError(UsageError):
    """A library that this installation omits is needed."""


class ConfigurationError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""
