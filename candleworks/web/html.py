"""Tables as HTML; every value is shown as text."""

import html
from collections.abc import Iterable
from datetime import datetime


def table(caption: str, heads: Iterable[str], lines: Iterable[str]) -> str:
    """Return a table with a caption; `lines` come from `line`."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<h2>{caption}</h2><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def line(*values: str | None, status: str, link: str | None = None) -> str:
    """Return a row; `link` is where its first value leads."""
    texts = [html.escape(value or "") for value in values]
    if link:
        texts[0] = f'<a href="{link}">{texts[0]}</a>'
    return f'<tr class="{status}">{"".join(f"<td>{text}</td>" for text in texts)}</tr>'


def second(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
