"""What the README and the page on HTTP tell people to type works as it stands, but for the ports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.host.program import run
from tallymark.settings import Settings
from tests.support.apis import api_process
from tests.support.posts import avro_file
from tests.support.systems import ROOT, environment, eventually, get, settings_in


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The gateway and the API; no Spark, so nothing is counted."""
    settings = settings_in(tmp_path_factory.mktemp("readme") / "home")
    command = [sys.executable, "-m", "tallymark", "gateway"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT) as gateway, api_process(settings):
        eventually(lambda: get(settings.gateway, "/readyz")[0] == 200)
        yield settings
        gateway.kill()


def page(name: str, settings: Settings) -> str:
    text = (ROOT / name).read_text()
    return text.replace("127.0.0.1:8401", settings.gateway.url[7:]).replace("127.0.0.1:8400", settings.api.url[7:])


def curls(text: str) -> list[str]:
    """The curl commands of a page: indented lines from `curl` on, up to the first that does not go on."""
    return re.findall(r"^    (curl (?:.*\\\n|[^'\n]*'[^']*'|[^'\n])*)$", text, re.MULTILINE)


def typed(command: str, *, folder: Path = ROOT) -> dict[str, object]:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True, cwd=folder)
    return json.loads(done.stdout)


def test_the_first_query_of_the_readme_works(servers: Settings) -> None:
    send, ask = curls(page("README.md", servers))
    assert typed(send) == {"accepted": 1, "rejected": []}
    answer = typed(ask)
    assert (answer["video_id"], answer["function"], answer["exact"]) == ("intro", "count", False)


def test_the_python_of_the_readme_works(servers: Settings) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", page("README.md", servers), re.DOTALL)
    done = run((sys.executable, "-c", code), within=60, folder=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:2] == ["False"]


def test_every_curl_of_the_page_on_http_is_answered_as_the_page_says(servers: Settings, tmp_path: Path) -> None:
    one = {"event_id": "avro", "type": "view", "video_id": "ATL", "occurred_at": 1_769_860_800_000}
    (tmp_path / "events.avro").write_bytes(avro_file([one]))
    answers = [typed(command, folder=tmp_path) for command in curls(page("docs/http.md", servers))]
    sent, avro, cloud, set_right, count, total, stats, series, query, publication, audits, token, problem = answers
    assert (sent["accepted"], len(sent["rejected"])) == (1, 1)
    assert [one["accepted"] for one in (avro, cloud, set_right)] == [1, 1, 1]
    assert total["start"] == "2000-01-01T00:00:00Z"
    assert token["status"] == 403  # nobody may, before there is a token that may
    assert {"value", "lower", "upper", "exact", "exact_until", "freshness_ms", "late_pending", "degraded"} <= set(count)
    assert {"count", "sum", "min", "max", "mean", "users"} <= set(stats)
    assert series["grain"] == "day"
    assert [answer["function"] for answer in query["answers"]] == ["count", "users"]
    assert set(publication) == {"version", "exact_until", "raw_version", "epoch", "published_at"}
    assert audits == {"audits": []}
    assert problem["status"] == 422
