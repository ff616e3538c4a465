"""Plots as inline SVG: text that a page holds, without scripts and without anything to load.

Drawn on 480 × 240 with letters of 15, so that they can be read at the width of a phone. Colours are the page's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from math import ceil, log10
from typing import Final

__all__ = ["bars", "line", "table", "time"]


def table(head: Iterable[str], rows: Iterable[Iterable[str]], style: str = "") -> str:
    """Cells are HTML; `style` is a class of the page."""
    top = "".join(f"<th>{one}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="{style}"><tr>{top}</tr>{body}</table></div>'


def time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


_WIDTH: Final = 480
_HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 14, 34
_WIDE: Final = _WIDTH - _LEFT - _RIGHT
_HIGH: Final = _HEIGHT - _TOP - _BOTTOM
_BAR: Final = 0.78  # of the room that a bar has
_BROADEST: Final = 56
Shown = Callable[[float], str]


def line(points: Sequence[tuple[float, float]], *, says: str, x: Shown, y: Shown, limit: float | None = None) -> str:
    """Values over time, sorted; `limit` is a level to compare with. `says` is read to those who cannot see it."""
    if not points:
        return _nothing(says)
    first, last = points[0][0], points[-1][0]
    top = _top([value for _, value in points] + ([limit] if limit else []))
    span = (last - first) or 1.0

    def place(at: float, value: float) -> str:
        return f"{_LEFT + (at - first) / span * _WIDE:.1f},{_y(value, top):.1f}"

    body = [*_grid(top, y), _label(_LEFT, x(first), "start"), _label(_LEFT + _WIDE, x(last), "end")]
    if len(points) > 2:
        body.append(_label(_LEFT + _WIDE / 2, x((first + last) / 2), "middle"))
    if limit is not None:
        body.append(f'<path class="limit" d="M{_LEFT},{_y(limit, top):.1f}h{_WIDE}"/>')
    body.append(f'<polyline class="line" points="{" ".join(place(*point) for point in points)}"/>')
    if len(points) <= 60:
        body += [
            f'<circle class="dot" cx="{spot[0]}" cy="{spot[1]}" r="3">'
            f"<title>{escape(x(at))}: {escape(y(value))}</title></circle>"
            for at, value in points
            for spot in [place(at, value).split(",")]
        ]
    return _svg(says, body)


def bars(
    values: Sequence[tuple[str, float]], *, says: str, y: Shown, every: int = 1, limit: float | None = None
) -> str:
    """A bar each, named below; only every `every`-th name is written."""
    if not any(value for _, value in values):
        return _nothing(says)
    top = _top([value for _, value in values] + ([limit] if limit else []))
    room = _WIDE / len(values)
    body = [*_grid(top, y)]
    for number, (name, value) in enumerate(values):
        middle, broad, height = _LEFT + room * (number + 0.5), min(_BROADEST, room * _BAR), _HIGH * value / top
        body.append(
            f'<rect class="bar" x="{middle - broad / 2:.1f}" y="{_TOP + _HIGH - height:.1f}" width="{broad:.1f}" '
            f'height="{height:.1f}" rx="1.5"><title>{escape(name)}: {escape(y(value))}</title></rect>'
        )
        if number % every == 0:
            body.append(_label(middle, name, "middle"))
    if limit is not None:
        body.append(f'<path class="limit" d="M{_LEFT},{_y(limit, top):.1f}h{_WIDE}"/>')
    return _svg(says, body)


def _top(values: Iterable[float]) -> float:
    """The end of the axis: 1, 2, 4, 5, 6 or 8 times a power of ten, at or above all values."""
    most = max([*values, 0.0]) or 1.0
    power = 10.0 ** ceil(log10(most) - 1)
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10, 20) if step * power >= most * 0.999999)


def _y(value: float, top: float) -> float:
    return _TOP + _HIGH * (1 - value / top)


def _grid(top: float, y: Shown) -> list[str]:
    levels = [top * quarter / 4 for quarter in range(5)]
    return [
        f'<path class="grid" d="M{_LEFT},{_y(level, top):.1f}h{_WIDE}"/>'
        f'<text x="{_LEFT - 6}" y="{_y(level, top) + 5:.1f}" text-anchor="end">{escape(y(level))}</text>'
        for level in levels
    ]


def _label(x: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{escape(text)}</text>'


def _nothing(says: str) -> str:
    middle = f'<text x="{_WIDTH / 2}" y="{_HEIGHT / 2}" text-anchor="middle">nothing to show</text>'
    return _svg(says, [middle])


def _svg(says: str, body: Iterable[str]) -> str:
    name = escape(says, quote=True)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">{"".join(body)}</svg>'
