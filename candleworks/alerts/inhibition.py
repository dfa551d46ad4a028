"""Which alert speaks for which: one trouble that several checks see is told once."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from candleworks.model.alerts import Alert, Result
from candleworks.storage.alerts import Key

_OF_A_SILENT_FEED = ("open-gaps", "freshness", "never-seen")
# Of the same feed, or of its symbols. Where two speak for each other, the first that is told does.
SPEAKS_FOR: Mapping[str, Sequence[str]] = {
    "watch-ingest": ("watch-feed", "feed-silent", *_OF_A_SILENT_FEED),
    "watch-feed": ("feed-silent", *_OF_A_SILENT_FEED),
    "feed-silent": ("watch-feed", *_OF_A_SILENT_FEED),
    "watch-spool": ("spool",),
    "spool": ("watch-spool",),
}
_RANK = {check: rank for rank, check in enumerate(SPEAKS_FOR)}


def speakers_first(keys: Iterable[Key]) -> list[Key]:
    """Order the checks of one run, so that what became of those that speak for others is known before them."""
    return sorted(keys, key=lambda key: _RANK.get(key[0], len(_RANK)))


def needs_speakers(results: Iterable[Result]) -> bool:
    """Whether others could speak for any of the results."""
    spoken_for = {check for checks in SPEAKS_FOR.values() for check in checks}
    return any(result.status == "failed" and result.check in spoken_for for result in results)


class Speaking:
    """The alerts that were told, or muted, and speak for others; `feeds` names those of each symbol.

    For a symbol they speak when each of its feeds is in trouble, or was lately: its ticks come again one by one.
    """

    def __init__(self, told: Iterable[Key], ended: Iterable[Key], feeds: Mapping[str, Sequence[str]]) -> None:
        self._told = set(told)
        self._ended = set(ended)
        self._feeds = feeds

    def speaker(self, result: Result) -> str | None:
        """Return the check whose alert tells the same trouble; an error is told by itself."""
        if result.status != "failed":
            return None
        feeds = self._feeds.get(result.subject)
        if feeds is None:
            return _speaker(result.check, result.subject, self._told)
        speakers = [_speaker(result.check, f"feed/{feed}", self._told | self._ended) for feed in feeds]
        return speakers[0] if all(speakers) else None

    def note(self, alert: Alert) -> None:
        """Take note of what became of an alert. What one run opens is told in one message, so nothing is left out."""
        key = (alert.check, alert.subject)
        if alert.resolved_at is not None:
            if key in self._told:
                self._told.remove(key)
                self._ended.add(key)
        elif alert.check in SPEAKS_FOR and alert.muted(alert.checked_at):
            self._told.add(key)


def _speaker(check: str, subject: str, speaking: Collection[Key]) -> str | None:
    speakers = (speaker for speaker, others in SPEAKS_FOR.items() if check in others)
    return next((speaker for speaker in speakers if (speaker, subject) in speaking), None)
