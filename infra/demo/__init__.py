"""The demo: a year of real events through the whole system, and every exact answer compared with the truth."""

from __future__ import annotations

from infra.demo.command import demo

__all__ = ["demo"]
