"""Tables and times as the report shows them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["table", "time"]


def table(head: Iterable[str], rows: Iterable[Iterable[str]], style: str = "") -> str:
    """Cells are HTML; `style` is a class of the page."""
    top = "".join(f"<th>{one}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="{style}"><tr>{top}</tr>{body}</table></div>'


def time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
