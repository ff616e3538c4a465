"""The raw table: the master data set, of which both views can be made again. Nothing else imports deltalake."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tallymark.raw.files import RawFile
    from tallymark.raw.read import scanning
    from tallymark.raw.schema import IMPORTED, RAW, ROW
    from tallymark.raw.table import Partition, RawTable, RawVersion

__all__ = ["IMPORTED", "RAW", "ROW", "Partition", "RawFile", "RawTable", "RawVersion", "scanning"]

_HOMES: Final = {
    "files": ("RawFile",),
    "read": ("scanning",),
    "schema": ("IMPORTED", "RAW", "ROW"),
    "table": ("Partition", "RawTable", "RawVersion"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tallymark.raw' has no attribute {name!r}")
    return getattr(import_module(f"tallymark.raw.{_HOME_OF[name]}"), name)
