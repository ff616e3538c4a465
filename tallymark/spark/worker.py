"""What a Python worker of Spark does for itself: it keeps a small task cheap, and asks which one it is in."""

from __future__ import annotations

import gc
import sys
from functools import lru_cache

from pyspark import TaskContext

__all__ = ["micro_batch_of_task", "set_modules_aside"]


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


def micro_batch_of_task() -> int:
    """The number of the micro-batch that this task belongs to, as Spark hands it to its workers."""
    context = TaskContext.get()
    number = context.getLocalProperty("streaming.sql.batchId") if context else None
    if number is None:
        raise RuntimeError("Spark does not say which micro-batch this is: run the speed layer as a streaming query")
    return int(number)
