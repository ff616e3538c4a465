"""Speed against batch, for each sealed hour, and the causes of what differs."""

from __future__ import annotations

__all__ = ["raw_rows", "scope", "survey"]
