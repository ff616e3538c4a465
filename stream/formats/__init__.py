"""What events may be written in besides JSON. Every format becomes JSON records, which the one rule judges (ADR 54)."""

from __future__ import annotations

__all__ = ["avro", "cloudevents", "compression"]
