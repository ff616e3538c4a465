"""Where the servers listen: on their usual ports if those are free when a cluster is made, else on others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

from infra.host.ports import trouble_with
from tallymark.errors import ProcessError
from tallymark.settings import Address

__all__ = ["HOST", "USUAL", "choose", "require_free"]

HOST: Final = "127.0.0.1"
USUAL: Final = {
    "kafka": 9092,
    "kafka-controller": 9093,
    "zookeeper": 2181,
    "hbase-master": 16_000,
    "hbase-region": 16_020,
    "thrift": 9090,
    "s3": 9000,
}
# Below the ports that systems give to outgoing connections: a client that knocks at a dead server could be given that
# very port, and keep the server from coming back.
_OTHERS: Final = range(20_000, 30_000)


def choose(names: Iterable[str], taken: Mapping[str, int], *, random: Random | None = None) -> dict[str, int]:
    """A port for each of `names` that is not in `taken`: the usual one if it is free now, else a random one that is."""
    chosen = dict(taken)
    draw = random or Random()  # noqa: S311
    for name in names:
        if name in chosen:
            continue
        port = USUAL.get(name, 0)
        while not port or port in chosen.values() or trouble_with(Address(HOST, port)):
            port = draw.choice(_OTHERS)
        chosen[name] = port
    return chosen


def require_free(ports: Mapping[str, int], *, remedy: str) -> None:
    """Raises ProcessError that names every port which cannot be listened on, and who has it."""
    troubles = [f"{name}: {trouble}" for name, port in ports.items() if (trouble := trouble_with(Address(HOST, port)))]
    if troubles:
        lines = "\n".join(f"  - {trouble}" for trouble in troubles)
        raise ProcessError(f"nothing was started:\n{lines}\n{remedy}")
