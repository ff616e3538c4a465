"""Whose events are kept and not counted: programs that look at pages, by what they call themselves in User-Agent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from tallymark.access.tokens import Token
from tallymark.errors import SettingsError
from tallymark.notation import KNOWN_BOTS

__all__ = ["BOT", "Bots"]

BOT: Final = "bot"  # why they are not counted
_LONGEST: Final = 512  # characters of a User-Agent that are looked at
_REMEMBERED: Final = 20_000  # to look one up takes 2 ms


class Bots:
    """`lists`: files of regular expressions, one a line, and KNOWN_BOTS for the list that others keep.

    Raises SettingsError, with all that is wrong.
    """

    def __init__(self, lists: Iterable[str]) -> None:
        problems: list[str] = []
        patterns = [pattern for name in sorted(lists) for pattern in _patterns_of(name, problems)]
        if problems:
            raise SettingsError(problems)
        self._patterns: Final = patterns
        self._matches: Final = lru_cache(_REMEMBERED)(self._looked_up)

    def mark(self, user_agent: str | None, token: Token | None) -> str | None:
        """Why the events of a request are not to be counted. A token that is no write key is one of our own programs,
        which passes on what others did: its User-Agent says nothing of them."""
        is_ours = token is not None and not token.browser
        if not self._patterns or user_agent is None or is_ours or not self._matches(user_agent[:_LONGEST]):
            return None
        return BOT

    def _looked_up(self, user_agent: str) -> bool:
        return any(pattern.search(user_agent) for pattern in self._patterns)


def _patterns_of(name: str, problems: list[str]) -> list[re.Pattern[str]]:
    """Those that cannot be used are added to the problems.

    Joined into one expression they would mean something else: groups are numbered, and flags are for all of it.
    """
    if name == KNOWN_BOTS:
        from crawleruseragents import CRAWLER_USER_AGENTS_DATA

        # none of that list has groups to refer to, or flags
        return [re.compile("|".join(f"(?:{crawler['pattern']})" for crawler in CRAWLER_USER_AGENTS_DATA))]
    try:
        lines = Path(name).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"bots: {name} cannot be read: {error}")
        return []
    found = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        try:
            found.append(re.compile(line))
        except re.error as error:
            problems.append(f"bots: line {number} of {name} is no regular expression: {error}")
    return found
