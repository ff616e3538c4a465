"""Several processes of one server on one port: whoever is asked for metrics answers for all of them.

Each series gets the label `worker`, so that Prometheus sees each of them begin at 0 again when its process does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

__all__ = ["Workers"]

_EVERY_S: Final = 2.0
_FAMILY: Final = re.compile(r"# (?:HELP|TYPE) (\S+)")
_SAMPLE: Final = re.compile(r"(\w+)(?:\{(.*)\})?( .+)")


class Workers:
    """`worker` of so many, from 1; what the others last said of themselves is at most a few seconds old."""

    def __init__(self, folder: Path, registry: CollectorRegistry, *, worker: int, workers: int) -> None:
        self._registry = registry
        self._files = {number: folder / f"worker-{number}.prom" for number in range(1, workers + 1)}
        self._worker = worker

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell the others of this one while inside."""
        task = asyncio.create_task(self._keep_telling())
        try:
            yield
        finally:
            task.cancel()

    def exposition(self) -> bytes:
        """The metrics of all, in the text format."""
        texts = [self._own()]
        for number, file in self._files.items():
            with suppress(OSError):
                texts += [file.read_text()] if number != self._worker else []
        return "".join(_merged(texts)).encode()

    def _own(self) -> str:
        label = f'worker="{self._worker}"'
        lines = generate_latest(self._registry).decode().splitlines()
        return "".join(f"{line if line.startswith('#') else _labelled(line, label)}\n" for line in lines)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.to_thread(self._tell)
            await asyncio.sleep(_EVERY_S)

    def _tell(self) -> None:
        file = self._files[self._worker]
        scratch = file.with_suffix(".new")
        with suppress(OSError):  # a full disk must not end what still runs
            file.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(self._own())
            scratch.replace(file)


def _labelled(sample: str, label: str) -> str:
    """`name 1` → `name{worker="2"} 1`, `name{a="b"} 1` → `name{worker="2",a="b"} 1`."""
    name, labels, rest = _SAMPLE.fullmatch(sample).groups()  # type: ignore[union-attr]  # it is our own text
    return f"{name}{{{label}{',' + labels if labels else ''}}}{rest}"


def _merged(texts: Iterable[str]) -> Iterable[str]:
    """Each family once, with the samples of all texts: the format wants them together."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    name = ""
    for text in texts:
        known = set(families)
        for line in text.splitlines(keepends=True):
            if found := _FAMILY.match(line):
                name = found[1]
                heads, _ = families.setdefault(name, ([], []))
                heads += [line] if name not in known else []
            elif name:
                families[name][1].append(line)
    for heads, samples in families.values():
        yield from heads
        yield from samples
