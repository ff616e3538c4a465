"""A cluster on this machine: brought up, looked at, broken on purpose, and ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import psutil

from infra.cluster.addresses import choose, require_free
from infra.cluster.contents import make, makers, variables
from infra.cluster.jars import PARTS, jars
from infra.cluster.kinds import parts_of
from infra.cluster.launch import launch
from infra.cluster.machine import require_machine
from infra.cluster.part import Part
from infra.cluster.removal import drop
from infra.cluster.shape import OURS, Names, Shape, read_shape
from infra.cluster.site import site
from infra.cluster.tables import REGIONS
from infra.host.home import Home
from infra.host.lock import held
from infra.host.process import end, noted, process_of
from tallymark.errors import ProcessError

__all__ = ["Cluster"]

_OTHER_COMMAND: Final = 300.0  # seconds to wait for another `up` or `down` of the same folder
_GRACE: Final = 20.0


class Cluster:
    """The servers in `<home>/infra`. They outlive this object and this process, until `down`."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home / "infra")

    def up(
        self,
        *,
        partitions: int | None = None,
        retention: timedelta | None = None,
        thrift_servers: int | None = None,
        heaps: Mapping[str, str] | None = None,
        names: Names | None = OURS,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Start what does not run, wait until everything works, and make what `names` stands for.

        What is not given stays as it was at the last `up`. Raises ProcessError; then nothing more runs than before.
        """
        given = {"partitions": partitions, "retention": retention, "thrift_servers": thrift_servers}
        changes = {name: value for name, value in given.items() if value is not None}
        require_machine()
        for part in PARTS:
            jars(part)
        with self._alone():
            before = read_shape(self.home.root) or Shape()
            shape = Shape(**{**msgspec.structs.asdict(before), **changes, "heaps": {**before.heaps, **(heaps or {})}})
            shape = msgspec.structs.replace(shape, ports=choose(shape.port_names, shape.ports))
            shape.write(self.home.root)
            parts = self._parts(shape)
            self._require_free([part for part in parts if process_of(part.name, self.home) is None])
            at = site(self.home)
            launch(parts, at, then=makers(shape, at, names) if names else {}, say=say)

    def make(self, *names: Names, regions: int = REGIONS) -> None:
        """Make a topic, tables and a bucket for each of `names`, side by side. Raises as `up` does."""
        make(names, self._shape(), site(self.home), regions=regions)

    def drop(self, names: Names) -> None:
        """Take away what was made for `names`, with all that is kept in it. Raises as `up` does."""
        drop(names, self._shape(), self.home.root)

    def down(self, *, grace: float = _GRACE) -> list[str]:
        """End what runs, the Thrift servers before HBase, and return their names. What they keep stays.

        Each has `grace` seconds for a clean end; what was acknowledged is safe without one.
        """
        ended: list[str] = []
        if not self.home.root.is_dir():
            return ended
        with self._alone():
            started = noted(self.home)
            fronts = [name for name in started if name.startswith("thrift")]
            for group in (fronts, [name for name in started if name not in fronts]):
                with ThreadPoolExecutor(max(1, len(group))) as pool:
                    ran = pool.map(lambda name: end(name, self.home, grace=grace), group)
                    ended += [name for name, was in zip(group, ran, strict=True) if was]
        return ended

    def kill(self, name: str) -> None:
        """kill -9."""
        end(self._part(name).name, self.home, grace=0)

    def start(self, name: str) -> None:
        """Start a part that was killed, on its ports and data, and wait until it works, and what needs it too."""
        started = self._part(name)
        with self._alone():
            behind = [part for part, process in self.parts() if process is not None and part.needs == started.port]
            launch([started, *behind], site(self.home), then={}, say=lambda _: None)

    def parts(self) -> list[tuple[Part, psutil.Process | None]]:
        """Each part with its process; empty when there has been no cluster."""
        shape = read_shape(self.home.root)
        return [(part, process_of(part.name, self.home)) for part in self._parts(shape)] if shape else []

    def environment(self, names: Names = OURS) -> dict[str, str]:
        """The variables that point every command at these servers. Raises ProcessError when there has been no `up`."""
        return variables(self._shape(), self.home.root, names)

    def _parts(self, shape: Shape) -> list[Part]:
        return parts_of(shape, self.home.root)

    def _part(self, name: str) -> Part:
        known = {part.name: part for part in self._parts(self._shape())}
        if name not in known:
            raise ProcessError(f"there is no part {name}; the parts are {', '.join(known)}")
        return known[name]

    def _shape(self) -> Shape:
        shape = read_shape(self.home.root)
        if shape is None:
            raise ProcessError(f"there has been no cluster in {self.home.root}: `tallymark infra up` makes one")
        return shape

    def _require_free(self, parts: list[Part]) -> None:
        ports = {name: port for part in parts for name, port in part.listens.items()}
        remedy = f"stop that, or remove {self.home.root / 'cluster.json'} and other ports are chosen"
        require_free(ports, remedy=remedy)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time changes what runs."""
        self.home.prepare()
        with held(self.home.lock, patience=_OTHER_COMMAND, by="another `tallymark infra` command is at work here"):
            yield
