"""How far counts grow until they are exact: the evidence that gives later answers their bounds."""

from __future__ import annotations

__all__ = ["renew"]
