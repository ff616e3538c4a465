"""`tallymark maintain`: few raw files, and nothing kept that no reader can ask for."""

from __future__ import annotations

__all__ = ["command"]
