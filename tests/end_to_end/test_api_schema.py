"""The API against its own description: whatever the schema allows or forbids, it answers as it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tallymark.settings import Settings
from tests.support.apis import api_process, fill
from tests.support.systems import settings_in

EXAMPLES = 50
CONFIG = """
[checks.positive_data_acceptance]
# no schema can say that start lies before end, that a version was published, or how many points a range holds
expected-statuses = ["2xx", "404", "422"]
"""


def schemathesis(settings: Settings, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "--no-color"),
        *("run", f"{settings.api.url}/openapi.json", "--max-examples", str(EXAMPLES), "--seed", "1"),
        *("--continue-on-failure", "--generation-database", "none"),
        *(option for token in settings.tokens for option in ("--header", f"Authorization: Bearer {token}")),
        *(() if settings.tokens else ("--exclude-path-regex", "/v1/(tokens|rollback)")),  # there nobody may operate
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tokens", [frozenset(), frozenset({"secret"})], ids=["open", "with tokens"])
def test_the_api_answers_as_its_description_says(tmp_path: Path, tokens: frozenset[str]) -> None:
    settings = settings_in(tmp_path / "home", tokens=tokens)
    fill(settings)
    with api_process(settings) as process:
        done = schemathesis(settings, tmp_path)
        assert process.poll() is None
        assert httpx.get(f"{settings.api.url}/readyz").is_success
    assert done.returncode == 0, done.stdout + done.stderr
