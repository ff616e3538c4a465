"""The servers of the view store for `tallymark status`: what each answers here, and whether the API calls it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final
from urllib.request import urlopen

import msgspec

from tallymark.settings import Settings

__all__ = ["ServerReport", "servers_of_the_store"]

_METRIC: Final = re.compile(r'^tallymark_store_server_answering\{server="([^"]+)"\} (\S+)$', re.MULTILINE)
_WITHIN: Final = 2.0


class ServerReport(msgspec.Struct, frozen=True, kw_only=True):
    """`trouble`: what this command ran into just now, None when the server answered. `called`: whether the API calls
    it; False while its circuit is open, None when the API does not say."""

    address: str
    trouble: str | None
    called: bool | None

    @property
    def problem(self) -> str | None:
        if self.trouble is not None:
            return f"{self.address}, a server of the view store, does not answer: {self.trouble}"
        if self.called is False:
            return f"{self.address}, a server of the view store, answers, but not yet to the API: its circuit is open"
        return None


def servers_of_the_store(settings: Settings, *, api: str) -> list[ServerReport]:
    """Empty when the view store has no servers. `api`: the address of the API that runs."""
    if not settings.store.startswith("hbase:"):
        return []
    from tallymark.store.hbase.address import HBaseAddress, ask_each

    found = ask_each(HBaseAddress.of(settings.store))
    called = _called(api)
    return [
        ServerReport(address=address, trouble=trouble, called=called.get(address)) for address, trouble in found.items()
    ]


def _called(api: str) -> dict[str, bool]:
    """By server, what the API's metrics say; empty when it does not answer."""
    with suppress(OSError), urlopen(f"{api}/metrics", timeout=_WITHIN) as answer:  # noqa: S310 - http, as settings say
        return {server: float(value) > 0 for server, value in _METRIC.findall(answer.read().decode())}
    return {}
