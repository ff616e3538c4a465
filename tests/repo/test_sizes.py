"""Modules stay small enough to read in one go."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("tallymark", "stream", "batch", "serving", "infra", "dags", "tests")


def lengths() -> dict[str, int]:
    files = (file for layer in LAYERS for file in (ROOT / layer).rglob("*.py"))
    return {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}


def test_no_module_is_longer_than_300_lines() -> None:
    assert {name: lines for name, lines in lengths().items() if lines > 300} == {}
