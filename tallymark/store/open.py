"""The composition root of the kernel: which implementation stands behind a port is decided here, by the settings."""

from __future__ import annotations

from pathlib import Path

from tallymark.settings import Settings
from tallymark.store import ViewStore

__all__ = ["open_store"]


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
