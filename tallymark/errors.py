"""Everything Tallymark raises on purpose.

    TallymarkError
    ├── MalformedEvent        one event breaks the wire format; .field and .reason say where and how
    ├── InvalidQuestion       a range, grain or id that cannot be answered; .field names the parameter
    ├── SettingsError         settings that do not parse; .problems lists all of them
    ├── UnknownVersion        a version that was never published, or can be read no more
    ├── PublicationConflict   somebody else published first (retriable: read again, then decide)
    ├── ChecksFailed          a recount that must not be published; .checks says which check failed
    ├── NothingToRecount      no raw events yet, or no hour that can be sealed
    ├── LeaseHeld             another process does this work; the message says who and until when
    ├── IncompatibleStore     files or tables made with other settings
    ├── ImportRefused         rows of a file that are no events, or an import that another one has overtaken
    ├── RawRefused            the raw table's storage refuses: no such bucket, no access
    ├── Damaged               a file or document that is gone, cut or overwritten; what it touches, how to mend it
    ├── Unavailable           a part that does not answer now (retriable)
    │   ├── LogUnavailable
    │   ├── RawUnavailable
    │   └── StoreUnavailable
    └── ProcessError          `up`, `down`, `status`: a port in use, a home already running …

`retriable` tells whether the same call can succeed later without anybody changing anything.
"""

from __future__ import annotations

from copyreg import __newobj__  # type: ignore[attr-defined]
from typing import Any, ClassVar

__all__ = [
    "ChecksFailed",
    "Damaged",
    "ImportRefused",
    "IncompatibleStore",
    "InvalidQuestion",
    "LeaseHeld",
    "LogUnavailable",
    "MalformedEvent",
    "NothingToRecount",
    "ProcessError",
    "PublicationConflict",
    "RawRefused",
    "RawUnavailable",
    "SettingsError",
    "StoreUnavailable",
    "TallymarkError",
    "Unavailable",
    "UnknownVersion",
]


class TallymarkError(Exception):
    """Base of all errors that are raised on purpose; the message says what to do next."""

    retriable: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        """From another process it comes as what it is: its kind, its words and its fields, however it is made."""
        return __newobj__, (type(self), *self.args), self.__dict__


class MalformedEvent(TallymarkError):
    """`field` is the offending field, or None when the record as a whole is not an event."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason = reason
        self.field = field


class InvalidQuestion(TallymarkError):
    """`field` is the parameter to change, as the HTTP contract spells it."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.reason = reason
        self.field = field


class SettingsError(TallymarkError):
    def __init__(self, problems: list[str]) -> None:
        super().__init__("these settings cannot be used:\n" + "\n".join(f"  - {p}" for p in problems))
        self.problems = problems


class UnknownVersion(TallymarkError):
    def __init__(self, version: int, known: list[int], *, why: str = "") -> None:
        shown = ", ".join(map(str, known[-5:])) or "none yet"
        wrong = f"can be read no more, since {why}" if why else "was never published, or is forgotten"
        super().__init__(f"version {version} {wrong}; published versions: {shown}")
        self.version = version


class PublicationConflict(TallymarkError):
    retriable = True


class ChecksFailed(TallymarkError):
    def __init__(self, version: int, checks: list[str]) -> None:
        super().__init__(
            f"version {version} was counted and kept but not published, since these checks failed:\n"
            + "\n".join(f"  - {c}" for c in checks)
        )
        self.version = version
        self.checks = checks


class NothingToRecount(TallymarkError):
    pass


class LeaseHeld(TallymarkError):
    retriable = True


class IncompatibleStore(TallymarkError):
    pass


class ImportRefused(TallymarkError):
    pass


class RawRefused(TallymarkError):
    pass


class Damaged(TallymarkError):
    """`what` is wrong with which file or document, what of the system it `touches`, and the `remedy`."""

    def __init__(self, what: str, *, touches: str, remedy: str) -> None:
        super().__init__(f"{what}. It touches {touches}. To mend it, {remedy}")


class Unavailable(TallymarkError):
    retriable = True


class LogUnavailable(Unavailable):
    pass


class RawUnavailable(Unavailable):
    pass


class StoreUnavailable(Unavailable):
    pass


class ProcessError(TallymarkError):
    pass
