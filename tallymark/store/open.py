"""The composition root of the kernel: which implementation stands behind a port is decided here, by the settings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tallymark.settings import Settings
from tallymark.store import ViewStore

__all__ = ["open_store", "store_of_process"]


def open_store(settings: Settings, *, any_layout: bool = False) -> ViewStore:
    """The ViewStore that `settings.store` names. Raises StoreUnavailable or IncompatibleStore.

    `any_layout`: for its documents alone, which are the same in all layouts.
    """
    if settings.store.startswith("hbase:"):
        from tallymark.store.hbase.store import HBaseViewStore

        return HBaseViewStore.open(settings.store, any_layout=any_layout)
    from tallymark.store.sqlite import SqliteViewStore

    path = settings.store.removeprefix("sqlite:")
    return SqliteViewStore(Path(path).expanduser() if path else settings.home / "views.sqlite", any_layout=any_layout)


@lru_cache(maxsize=1)
def store_of_process(settings: Settings) -> ViewStore:
    """As `open_store`, once for all tasks that a worker process is given."""
    return open_store(settings)
