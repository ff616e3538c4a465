"""Modules are short enough to read in one go, folders small enough to see at a glance; packages state their face."""

from __future__ import annotations

import ast
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("tallymark", "stream", "batch", "serving", "infra")
MOST_LINES, MOST_MODULES = 300, 12
MODULES = [path.relative_to(ROOT) for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
PACKAGES = [path for path in MODULES if path.name == "__init__.py"]


def test_no_module_is_longer_than_300_lines() -> None:
    others = [path for folder in ("dags", "tests") for path in (ROOT / folder).rglob("*.py")]
    lines = {str(path): len(path.read_text().splitlines()) for path in [*(ROOT / path for path in MODULES), *others]}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_folder_has_more_than_12_modules() -> None:
    modules = Counter(str(path.parent) for path in MODULES if path.name != "__init__.py")
    assert {folder for folder, count in modules.items() if count > MOST_MODULES} == set()


def test_no_two_test_modules_have_the_same_name() -> None:
    """pytest imports them by their names alone, and refuses the second when all run together."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name, count in names.items() if count > 1} == set()


def test_every_module_states_what_others_may_use() -> None:
    """A package by its face: the names that it gives, or the modules that are to be imported from it."""
    without = {str(path) for path in MODULES if path.name != "__main__.py" and not states_all(path)}
    assert without == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: ".".join(path.parent.parts))
def test_what_a_package_gives_is_there(package: Path) -> None:
    name = ".".join(package.parent.parts)
    module = import_module(name)
    for given in getattr(module, "__all__", ()):
        assert hasattr(module, given) or (ROOT / package.parent / f"{given}.py").is_file() or is_package(package, given)


def is_package(package: Path, name: str) -> bool:
    return (ROOT / package.parent / name / "__init__.py").is_file()


def states_all(path: Path) -> bool:
    tree = ast.parse((ROOT / path).read_text())
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
