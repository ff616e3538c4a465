"""What a machine needs for a cluster: a Java that the servers run on, and their jars or the Maven that fetches them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from infra.cluster.jars import require_maven
from infra.cluster.site import require_java
from tallymark.errors import ProcessError

__all__ = ["lacks", "require_machine"]

_NEEDS: Final[tuple[Callable[[], object], ...]] = (require_java, require_maven)


def lacks() -> list[str]:
    """What is missing here, each with how to install it; empty when nothing is.

    Whether Maven reaches a repository is not asked: that shows when jars are fetched.
    """
    return [trouble for need in _NEEDS if (trouble := _trouble(need))]


def require_machine() -> None:
    """Raises ProcessError that names all that is missing."""
    missing = lacks()
    if missing:
        raise ProcessError("nothing was started:\n" + "\n".join(f"  - {each}" for each in missing))


def _trouble(need: Callable[[], object]) -> str | None:
    try:
        need()
    except ProcessError as error:
        return str(error)
    return None
