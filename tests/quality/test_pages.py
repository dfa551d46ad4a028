"""One check, one file of SQL, one page."""

from pathlib import Path

from candleworks.database.queries import sql_directory
from candleworks.quality.registry import CHECKS
from candleworks.settings import CandleThresholds, Quality, TickThresholds

DOCS = Path(__file__).parents[2] / "docs"
WITHOUT_SQL = {"required-fields", "price-positive"}  # Great Expectations says it all


def test_every_check_has_its_page_and_its_sql() -> None:
    """And nothing is left over of a check that is gone."""
    names = {check.name for check in CHECKS}
    assert {path.stem for path in (DOCS / "checks").glob("*.md")} == names
    assert {path.stem for path in (sql_directory() / "checks").glob("*.sql")} == names - WITHOUT_SQL
    overview = (DOCS / "reference" / "checks.md").read_text()
    for check in CHECKS:
        page = (DOCS / "checks" / f"{check.name}.md").read_text()
        assert page.startswith(f"# {check.name}\n\nSuite `{check.suite}`, severity {check.severity}.")
        for part in ("What it means", "Threshold", "How to investigate", "What to do", "When it is resolved"):
            assert f"\n## {part}\n" in page
        assert f"(../checks/{check.name}.md)" in overview


def test_every_threshold_is_explained_and_used() -> None:
    """Each key of the configuration stands on the page of a check, with its default."""
    pages = "".join(path.read_text() for path in (DOCS / "checks").glob("*.md"))
    sources = [
        *(sql_directory() / "checks").glob("*.sql"),
        *(Path(__file__).parents[2] / "candleworks/quality").glob("*.py"),
    ]
    code = "".join(path.read_text() for path in sources)
    quality = Quality()
    for section in (quality.ticks, quality.candles, quality.system):
        for name in set(type(section).model_fields) - {"classes", "symbols"}:
            assert name in pages, name
            assert name in code, name
    assert set(TickThresholds.model_fields) < set(type(quality.ticks).model_fields)
    assert set(CandleThresholds.model_fields) < set(type(quality.candles).model_fields)
