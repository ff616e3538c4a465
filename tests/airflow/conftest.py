"""The DAGs, loaded and run by Airflow itself, in the environment that `make airflow` makes; made here where it is
missing."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from tallymark.settings import Settings
from tests.support.systems import ROOT, environment

VENV = ROOT / ".venv-airflow"
COMMAND = shlex.join(("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tallymark"))


class Run(NamedTuple):
    """A run of a DAG by `dag.test()`. `tallymark`: the command that its tasks run."""

    dag: str
    settings: Settings
    tallymark: str = COMMAND


@pytest.fixture(scope="session")
def airflow_installed() -> None:
    """Skips where Airflow cannot be installed. With CI set that fails: there nothing may go untested."""
    done = subprocess.run([ROOT / "infra" / "airflow.sh"], capture_output=True, text=True, check=False)
    if done.returncode and os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}:
        pytest.fail(f"Airflow cannot be installed, and CI is set: {done.stdout}{done.stderr}")
    if done.returncode:
        pytest.skip(f"Airflow cannot be installed: {done.stderr[-500:]}")


@pytest.fixture(scope="session")
def dag_runs(airflow_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Takes Runs, in whose order Airflow runs them, and returns what it says of each, and of the DAGs."""
    home = tmp_path_factory.mktemp("airflow")
    ours = {
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "REALLY": COMMAND,
    }

    migrate = [VENV / "bin" / "airflow", "db", "migrate"]
    migrating = subprocess.Popen(migrate, env=os.environ | ours, stdout=subprocess.DEVNULL)

    def run(runs: Sequence[tuple[Any, ...]]) -> Any:
        plan = [
            {"dag": each.dag, "environment": each.settings.environment() | {"RUN_TALLYMARK": each.tallymark}}
            for each in (Run(*of) for of in runs)
        ]
        assert migrating.wait(120) == 0
        done = subprocess.run(
            [VENV / "bin" / "python", ROOT / "tests" / "airflow" / "dag_runs.py"],
            env=environment(Settings(home=home)) | ours,
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    yield run
    migrating.kill()
