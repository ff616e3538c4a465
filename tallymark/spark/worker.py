"""What a Python worker of Spark does for itself, so that a small task costs little."""

from __future__ import annotations

import gc
import sys
from functools import lru_cache

__all__ = ["set_modules_aside"]


def set_modules_aside() -> None:
    """Keep what is loaded out of the search for garbage. To be called where a task begins.

    Spark has its workers search all that they hold after every task. With pyarrow and the rest loaded that takes 60 ms,
    which was most of what a task of a few hundred records cost, and a micro-batch has half a dozen tasks.
    """
    _freeze(len(sys.modules))


@lru_cache(maxsize=1)
def _freeze(_modules: int) -> None:
    """Once more whenever there are more modules."""
    gc.collect()
    gc.freeze()
