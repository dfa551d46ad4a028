"""Pages that follow from the code say what the code says."""

import pytest

from candleworks.settings import ENVIRONMENT, Settings
from candleworks.settings.model import File
from docs.generate import PAGES, REFERENCE, descriptions, models, sections


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(page: str) -> None:
    """Where this fails, `make docs` writes them again."""
    current = (REFERENCE / page).read_text() == PAGES[page]()
    assert current, f"docs/reference/{page} is not current: run `make docs` and commit the result"


def test_every_setting_has_a_description() -> None:
    """The docstring below the field; a section has that of its class."""
    for path, model in sections(File):
        assert model.__doc__, path
        for key in set(model.model_fields) - set(descriptions(model)):
            assert models(model.model_fields[key].annotation), f"{path}.{key}"
    assert set(ENVIRONMENT.values()) <= set(descriptions(Settings))
