"""What is logged carries the ids of the request or micro-batch that it is about, as text and as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from tallymark.errors import TallymarkError
from tallymark.http.problems import answer_problems, observe_requests
from tallymark.logs import begin_logs, labelled


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    answer_problems(app)
    observe_requests(app, CollectorRegistry())

    @app.get("/told")
    def told() -> str:
        logging.getLogger("store").warning("server %d is slow", 3)
        return "done"

    @app.get("/ours")
    def ours() -> None:
        raise TallymarkError("no such thing")

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError

    return TestClient(app, raise_server_exceptions=False)


def test_a_line_of_a_request_carries_the_id_that_its_answer_names(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_logs("json")
    ids = {client.get("/told").headers["x-request-id"] for _ in range(2)}
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["request_id"] for line in lines} == ids
    assert len(ids) == 2
    assert {(line["event"], line["level"], line["logger"]) for line in lines} == {
        ("server 3 is slow", "warning", "store")
    }
    assert all(line["timestamp"].endswith("Z") for line in lines)


@pytest.mark.parametrize(("given", "kept"), [("from-the-balancer/1", True), ("two words", False), ("x" * 129, False)])
def test_an_id_that_the_request_brings_is_kept_if_it_can_be(client: TestClient, given: str, kept: bool) -> None:
    assert (client.get("/told", headers={"X-Request-ID": given}).headers["x-request-id"] == given) is kept


@pytest.mark.parametrize("path", ["/ours", "/broken"])
def test_an_answer_that_failed_has_an_id_too(client: TestClient, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    begin_logs("json")
    answer = client.get(path, headers={"X-Request-ID": "r1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "r1")
    if path == "/ours":
        (line,) = map(json.loads, capsys.readouterr().err.splitlines())
        assert (line["event"], line["request_id"]) == ("no such thing", "r1")
    else:
        assert "request_id r1" in answer.json()["detail"]


def test_what_is_labelled_is_so_within_and_no_longer(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logs("text")
    log = logging.getLogger("stream.archive.query")
    with labelled(layer="archive", micro_batch=17):
        log.warning("waits")
    log.warning("goes on")
    waits, goes_on = capsys.readouterr().err.splitlines()
    assert "waits" in waits
    assert "micro_batch=17" in waits
    assert "micro_batch" not in goes_on


def test_an_exception_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logs("json")
    try:
        raise ValueError("of this kind")
    except ValueError:
        logging.getLogger("x").exception("went wrong")
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["event"] == "went wrong"
    assert "ValueError: of this kind" in line["exception"]
