"""The producers of this process, which its end closes and a fork renews."""

from __future__ import annotations

import atexit
import os
from functools import lru_cache
from typing import Final, Protocol
from weakref import WeakSet

__all__ = ["watch"]


class Watched(Protocol):
    def close_at_exit(self) -> None: ...

    def renew_in_child(self) -> None: ...


_watched: Final[WeakSet[Watched]] = WeakSet()


def watch(producer: Watched) -> None:
    """At the end of the process it is closed; in the child of a fork, renewed."""
    _hook()
    _watched.add(producer)


@lru_cache(maxsize=1)
def _hook() -> None:
    """Once, and only in a process that has a producer."""
    atexit.register(_at_exit)
    os.register_at_fork(after_in_child=_in_child)


def _at_exit() -> None:
    for producer in list(_watched):
        producer.close_at_exit()


def _in_child() -> None:
    for producer in list(_watched):
        producer.renew_in_child()
