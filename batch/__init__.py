"""The batch layer: the recount, the audit and the upkeep. What the command names is in the modules `commands`."""

from __future__ import annotations

__all__ = ["commands"]
