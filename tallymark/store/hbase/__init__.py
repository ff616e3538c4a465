"""The view store on HBase. `layout` says how cells lie there; `store` is the port's implementation."""

from __future__ import annotations

__all__ = ["address", "endpoint", "layout", "store"]
