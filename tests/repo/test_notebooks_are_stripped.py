"""Notebooks are kept as people wrote them: what a run leaves in them does not get into git."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks.strip import NOTEBOOKS, stripped

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_no_notebook_holds_what_a_run_left_in_it(path: Path) -> None:
    assert path.read_text() == stripped(path.read_text()), "run `python notebooks/strip.py`, or `make format`"


@each_notebook
def test_cells_have_names_that_stay(path: Path) -> None:
    names = [cell["id"] for cell in json.loads(path.read_text())["cells"]]
    assert len(set(names)) == len(names) > 8
    assert all(name.replace("-", "").isalpha() for name in names), "a name, not a random id: say what the cell shows"


def test_stripping_takes_out_results_and_keeps_what_was_written() -> None:
    cell = {
        "cell_type": "code",
        "id": "a",
        "source": ["1 + 1"],
        "execution_count": 3,
        "metadata": {"execution": {"iopub.status.busy": "2026-01-31T12:00:00Z"}},
        "outputs": [{"output_type": "execute_result", "data": {"text/plain": ["2"]}}],
    }
    run = {"cells": [cell], "metadata": {"language_info": {"version": "3.11.7"}}, "nbformat": 4, "nbformat_minor": 5}
    clean = json.loads(stripped(json.dumps(run)))
    assert clean["cells"] == [cell | {"execution_count": None, "metadata": {}, "outputs": []}]
    assert "version" not in json.dumps(clean)
    assert stripped(json.dumps(clean)) == stripped(json.dumps(run))


def test_there_are_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]
