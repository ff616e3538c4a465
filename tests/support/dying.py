"""kill -9 of a worker at a chosen step of the speed layer's micro-batch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from stream.speed import query

__all__ = ["STEPS", "dying_at"]

_KEEPS = "stream.speed.memory.write_segment"
_PUTS = "tallymark.store.sqlite.SqliteViewStore.put"
_PUTS_LATE = "tallymark.store.sqlite.SqliteViewStore.put_late"
STEPS = {
    "before its ids are kept": (_KEEPS, False),
    "after its ids are kept": (_KEEPS, True),
    "before its cells are put": (_PUTS, False),
    "after its cells are put": (_PUTS, True),
    "before its late cells are put": (_PUTS_LATE, False),
    "after its late cells are put": (_PUTS_LATE, True),
}

_Task = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@contextmanager
def dying_at(step: str, armed: Path) -> Iterator[None]:
    """Of a speed layer that is started while inside, the first micro-batch that comes to `step` once the file `armed`
    is there takes that away and dies."""
    function, after = STEPS[step]
    tallying, putting = (_dying(getattr(query, name), function, after, armed) for name in ("tallying", "putting"))
    with patch.object(query, "tallying", tallying), patch.object(query, "putting", putting):
        yield


def _dying(task_of: Callable[..., _Task], function: str, after: bool, armed: Path) -> Callable[..., _Task]:
    def made(*arguments: Any) -> _Task:
        task = task_of(*arguments)

        def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            real = resolve_name(function)

            def deadly(*given: Any, **named: Any) -> Any:
                done = real(*given, **named) if after else None
                if armed.exists():
                    armed.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
                return done if after else real(*given, **named)

            with patch(function, deadly):
                yield from task(batches)

        return run

    return made
