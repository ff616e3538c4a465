"""How commands speak to people: a line, how long ago, how much memory."""

from __future__ import annotations

import re
from typing import Final

from rich.console import Console

__all__ = ["ago", "megabytes", "printable", "say"]


def say(text: str = "") -> None:
    """One line, never wrapped: it may be meant for copying."""
    Console().print(text, soft_wrap=True, highlight=False, markup=False)


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """`text` of others, without what would steer the terminal: an escape is shown as \\x1b."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def ago(seconds: float) -> str:
    """`0.8 s`, `12 s`, `4 min`, `3 h`, `2 d`: as many digits as help."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
