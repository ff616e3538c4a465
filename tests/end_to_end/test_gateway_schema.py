"""The gateway against its own description: whatever the schema allows or forbids, it answers as it says."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tallymark.settings import Settings
from tests.support.gateways import ask, gateway_process
from tests.support.systems import ROOT, settings_in

EXAMPLES = 60
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["202", "4xx"]  # a post may be accepted in part: hooks look at what
"""


def schemathesis(settings: Settings, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "--no-color"),
        *("run", f"{settings.gateway.url}/openapi.json", "--max-examples", str(EXAMPLES), "--seed", "1"),
        *("--continue-on-failure", "--generation-database", "none"),
        *(option for token in settings.tokens for option in ("--header", f"Authorization: Bearer {token}")),
    ]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "schemathesis_events",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}",
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tokens", [frozenset(), frozenset({"secret"})], ids=["open", "with tokens"])
def test_the_gateway_answers_as_its_description_says(tmp_path: Path, tokens: frozenset[str]) -> None:
    # no clock in the description: every time that it allows has to be one that this gateway takes
    settings = settings_in(tmp_path / "home", max_ahead=timedelta(days=36_500), tokens=tokens)
    with gateway_process(settings) as process:
        done = schemathesis(settings, tmp_path)
        assert process.poll() is None
        assert ask(settings, "GET", "/readyz").status == 200
    assert done.returncode == 0, done.stdout + done.stderr
