"""The code keeps to its own rules: who imports whom, types, and style."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
HEAVY = (
    "pyspark", "fastapi", "uvicorn", "deltalake", "pyarrow", "polars", "pandas", "numpy", "happybase", "httpx", "kafka",
    "confluent_kafka", "boto3", "duckdb",
)  # fmt: skip

KERNEL = [path.relative_to(ROOT) for path in sorted((ROOT / "tallymark").rglob("*.py")) if path.name != "__main__.py"]
# where the kernel touches Spark, the web framework, the raw table, NumPy's columns, DuckDB and HTTP, for the layers to
# share; the packages load none of it before it is used
TOUCHES = (
    *("tallymark.client.counts", "tallymark.columns.", "tallymark.http.", "tallymark.raw.", "tallymark.spark."),
    *("tallymark.sql.counts", "tallymark.sql.output", "tallymark.sql.session"),
)
MODULES = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in KERNEL]
LIGHT = [module for module in MODULES if not module.startswith(TOUCHES)]


def run(*command: object) -> None:
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"


def test_layers_import_the_kernel_and_never_each_other() -> None:
    run(BIN / "lint-imports", "--no-cache")


def test_types_are_complete_and_right() -> None:
    run(sys.executable, "-m", "mypy")


def test_ruff_finds_nothing() -> None:
    run(sys.executable, "-m", "ruff", "check", ".")


def test_code_is_formatted() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


@pytest.mark.parametrize("module", LIGHT)
def test_kernel_modules_load_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_light_packages_are_checked_as_deep_as_they_are() -> None:
    packages = {"cli", "client", "documents", "http", "raw", "spark", "store", "store.hbase"}
    assert {"tallymark", *(f"tallymark.{name}" for name in packages)} <= set(LIGHT)
    assert {"tallymark.store.sqlite", "tallymark.store.hbase.store", "tallymark.cli.table"} <= set(LIGHT)
    assert "tallymark.documents.publication" in LIGHT


def test_milliseconds_and_minutes_are_told_apart_by_their_types(tmp_path: Path) -> None:
    snippet = tmp_path / "mixed.py"
    snippet.write_text(
        "from tallymark.buckets import Bucket, Grain\n"
        "from tallymark.instants import millis_of, minute_of, utc_now\n"
        "right = Bucket(Grain.MINUTE, minute_of(utc_now()))\n"
        "wrong = Bucket(Grain.MINUTE, millis_of(utc_now()))\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--strict", str(snippet)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert [line.rpartition("mixed.py:")[2] for line in said.splitlines()] == [
        '4: error: Argument 2 to "Bucket" has incompatible type "Millis"; expected "Minute"  [arg-type]'
    ]
