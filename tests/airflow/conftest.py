"""The DAGs, loaded and run by Airflow itself, in the environment that `make airflow` makes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems import ROOT, environment

from tallymark.settings import Settings

VENV = ROOT / ".venv-airflow"
DagRuns = Callable[..., Any]


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Airflow of its own, with an empty database."""
    if not (VENV / "bin" / "airflow").exists():
        pytest.skip("Airflow is not installed: `make airflow` installs it into .venv-airflow")
    home = tmp_path_factory.mktemp("airflow")
    migrate = [VENV / "bin" / "airflow", "db", "migrate"]
    subprocess.run(migrate, env=_environment(home), check=True, capture_output=True)
    return home


@pytest.fixture
def dag_runs(airflow_home: Path) -> DagRuns:
    """Runs dag_runs.py with its arguments, and returns what it says. `tallymark`: the command that tasks run."""

    def run(*arguments: str, settings: Settings | None = None, tallymark: str | None = None) -> Any:
        ours = environment(settings) if settings else dict(os.environ)
        command = shlex.join(("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tallymark"))
        done = subprocess.run(
            [VENV / "bin" / "python", ROOT / "tests" / "airflow" / "dag_runs.py", *arguments],
            env=ours | _environment(airflow_home) | {"RUN_TALLYMARK": tallymark or command, "REALLY": command},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


def _environment(home: Path) -> dict[str, str]:
    return {
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", str(home)),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
