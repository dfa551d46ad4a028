"""What a run of checks says about itself in one line."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from candleworks.model.alerts import CheckResult, CheckStatus
from candleworks.quality import Report

AT = datetime(2026, 3, 4, tzinfo=UTC)


def report(*results: str) -> Report:
    """A report of results written as `status check subject`."""
    made = []
    for text in results:
        status, check, subject = text.split(" ", 2)
        assert status in get_args(CheckStatus)
        made.append(
            CheckResult(
                check=check, subject=subject, suite="ticks", severity="warning", status=status,  # type: ignore[arg-type]
                observed=None, expected=None, window_from=None, window_until=AT, sample=None, seconds=0.0, at=AT,
            )
        )  # fmt: skip
    return Report(made, [], 1.0)


@pytest.mark.parametrize(
    ("results", "counts", "sentence"),
    [
        ([], "0 checks: nothing to check", "0 checks: nothing to check"),
        (["passed disk system"], "1 check: 1 passed", "1 check: 1 passed"),
        (
            ["failed price-jump AAPL", "passed disk system", "passed price-jump MSFT"],
            "2 checks: 1 failed, 1 passed",
            "1 of 2 checks failed: price-jump (AAPL)",
        ),
        (
            [
                *(f"failed freshness {symbol}" for symbol in "ABCDE"),
                "failed refresh-lag candles_1m",
                "error disk system",
                "passed retention system",
            ],
            "4 checks: 2 failed, 1 error, 1 passed",
            (
                "2 of 4 checks failed: freshness (A, B, C and 2 more), refresh-lag (candles_1m);"
                " 1 of 4 checks ended in an error: disk"
            ),
        ),
    ],
)
def test_a_run_says_in_one_line_what_failed(results: list[str], counts: str, sentence: str) -> None:
    """Each check counts once; the sentence names checks with their subjects, and cuts long lists."""
    assert report(*results).counts == counts
    assert report(*results).sentence == sentence
