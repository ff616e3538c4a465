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
from infra.cluster.config import OURS, ClusterConfig, Names, read_config
from infra.cluster.environment import environment_of, require_machine
from infra.cluster.jars import BUNDLES, jars
from infra.cluster.launch import launch
from infra.cluster.provision import drop, make, makers, variables
from infra.cluster.servers import servers_of
from infra.cluster.servers.server import Server
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
        for bundle in BUNDLES:
            jars(bundle)
        with self._alone():
            before = read_config(self.home.root) or ClusterConfig()
            config = ClusterConfig(
                **{**msgspec.structs.asdict(before), **changes, "heaps": {**before.heaps, **(heaps or {})}}
            )
            config = msgspec.structs.replace(config, ports=choose(config.port_names, config.ports))
            config.write(self.home.root)
            servers = self._servers(config)
            self._require_free([server for server in servers if process_of(server.name, self.home) is None])
            environment = environment_of(self.home)
            launch(servers, environment, then=makers(config, environment, names) if names else {}, say=say)

    def make(self, *names: Names, regions: int = REGIONS) -> None:
        """Make a topic, tables and a bucket for each of `names`, side by side. Raises as `up` does."""
        make(names, self._config(), environment_of(self.home), regions=regions)

    def drop(self, names: Names) -> None:
        """Take away what was made for `names`, with all that is kept in it. Raises as `up` does."""
        drop(names, self._config(), self.home.root)

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
        end(self._server(name).name, self.home, grace=0)

    def start(self, name: str) -> None:
        """Start a server that was killed, on its ports and data, and wait until it works, and what needs it too."""
        started = self._server(name)
        with self._alone():
            behind = [
                server for server, process in self.servers() if process is not None and server.needs == started.port
            ]
            launch([started, *behind], environment_of(self.home), then={}, say=lambda _: None)

    def servers(self) -> list[tuple[Server, psutil.Process | None]]:
        """Each server with its process; empty when there has been no cluster."""
        config = read_config(self.home.root)
        return [(server, process_of(server.name, self.home)) for server in self._servers(config)] if config else []

    def environment(self, names: Names = OURS) -> dict[str, str]:
        """The variables that point every command at these servers. Raises ProcessError when there has been no `up`."""
        return variables(self._config(), self.home.root, names)

    def _servers(self, config: ClusterConfig) -> list[Server]:
        return servers_of(config, self.home.root)

    def _server(self, name: str) -> Server:
        known = {server.name: server for server in self._servers(self._config())}
        if name not in known:
            raise ProcessError(f"there is no part {name}; the parts are {', '.join(known)}")
        return known[name]

    def _config(self) -> ClusterConfig:
        config = read_config(self.home.root)
        if config is None:
            raise ProcessError(f"there has been no cluster in {self.home.root}: `tallymark infra up` makes one")
        return config

    def _require_free(self, servers: list[Server]) -> None:
        ports = {name: port for server in servers for name, port in server.listens.items()}
        remedy = f"stop that, or remove {self.home.root / 'cluster.json'} and other ports are chosen"
        require_free(ports, remedy=remedy)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time changes what runs."""
        self.home.prepare()
        with held(self.home.lock, within=_OTHER_COMMAND, by="another `tallymark infra` command is at work here"):
            yield
