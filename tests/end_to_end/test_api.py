"""The query API as people meet it: a real process, real HTTP, the client and the command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tallymark.buckets import TimeRange
from tallymark.instants import minute_of
from tests.support import both_views as views
from tests.support.apis import Api, filled_api
from tests.support.systems import settings_in


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with filled_api(settings_in(tmp_path_factory.mktemp("api") / "home")) as running:
        yield running


def get(api: Api, path: str, **parameters: Any) -> httpx.Response:
    return httpx.get(f"{api.url}{path}", params=parameters)


def test_a_count_over_the_boundary_is_that_of_both_views(api: Api) -> None:
    answer = get(api, "/v1/count", video_id="ab", type="view", last="6h").json()
    assert answer["value"] == 300
    recounted = sum(event.occurred_at < api.exact_until.timestamp() * 1000 for event in api.log)
    assert (answer["exact"], answer["lower"], answer["upper"]) == (False, recounted, None)
    assert answer["exact_until"] == f"{api.exact_until:%Y-%m-%dT%H:%M:%SZ}"
    assert (answer["version"], answer["epoch"], answer["late_pending"], answer["degraded"]) == (1, 1, 0, [])


def test_a_recounted_range_is_exact_in_rfc_3339_and_in_epoch_milliseconds(api: Api) -> None:
    start, end = api.exact_until - timedelta(hours=1), api.exact_until
    for given in (
        (start.isoformat(), end.isoformat()),
        (round(start.timestamp() * 1000), round(end.timestamp() * 1000)),
    ):
        answer = get(api, "/v1/count", video_id="ab", start=given[0], end=given[1]).json()
        assert answer["value"] == answer["lower"] == answer["upper"] == 60
        assert (answer["exact"], answer["freshness_ms"]) == (True, 0)
        assert answer["start"] == f"{start:%Y-%m-%dT%H:%M:%SZ}"


def test_all_questions_of_a_query_are_answered_in_order(api: Api) -> None:
    question = {"video_id": "ab", "start": api.exact_until.isoformat(), "end": datetime.now(UTC).isoformat()}
    functions = ["users", "mean", "max", "min", "sum", "count"]
    asked = {"questions": [question | {"function": function} for function in functions]}
    answers = httpx.post(f"{api.url}/v1/query", json=asked).json()["answers"]
    assert [answer["function"] for answer in answers] == functions
    within = TimeRange(minute_of(api.exact_until), minute_of(datetime.now(UTC)) + 1)
    true = views.truth(api.log, "ab", "view", within)
    assert [answer["value"] for answer in answers[1:]] == [true.mean, true.max, true.min, true.sum, true.count]
    assert answers[0]["lower"] <= 50 <= answers[0]["upper"]


def test_the_publication_and_the_versions_are_shown(api: Api) -> None:
    shown = get(api, "/v1/publication").json()
    assert (shown["version"], shown["epoch"]) == (1, 1)
    assert get(api, "/v1/versions").json() == {"versions": [shown]}
    assert get(api, "/v1/count", video_id="ab", last="1h", as_of=1).json()["version"] == 1
    unknown = get(api, "/v1/count", video_id="ab", last="1h", as_of=9)
    assert unknown.status_code == 404
    assert unknown.json()["detail"] == "version 9 was never published, or is forgotten; published versions: 1"


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("", "video_id", "required"),
        ("video_id=&last=1h", "video_id", "expected 1 to 256 characters, got 0"),
        (f"video_id={'v' * 257}&last=1h", "video_id", "expected 1 to 256 characters, got 257"),
        ("video_id=a%00b&last=1h", "video_id", "control characters"),
        ("video_id=%FF&last=1h", "query", "percent-encode the UTF-8"),
        ("video_id=v&type=View&last=1h", "type", "for example view"),
        ("video_id=v&last=1h&typ=like", "typ", "unknown"),
        ("video_id=v&video_id=w&last=1h", "video_id", "more than once"),
        ("video_id=v&end=2000-01-01", "end", "empty"),
        ("video_id=v&tz=europe/berlin", "tz", "write for example Europe/Berlin"),
        ("video_id=v&start=2026-02-29", "start", "there is no 2026-02-29"),
        ("video_id=v&start=2026-01-02T00:00:00Z&last=1h", "start", "send start or last, not both"),
        ("video_id=v&start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", "end", "swap them"),
        ("video_id=v&start=2026-01-02T00:00:00Z&end=2026-01-02T00:00:00Z", "end", "empty"),
        ("video_id=v&start=2026-01-02T00:00:00+02:00", "start", "%2B"),
        ("video_id=v&start=1999-01-02T00:00:00Z", "start", "not between 2000"),
        ("video_id=v&start=2026-01-02T00:00:00Z&end=2101-01-02T00:00:00Z", "end", "not between 2000"),
        ("video_id=v&last=1week", "last", "7d, 1w, 3mo or 1y"),
        ("video_id=v&last=99999999d", "last", "before 2000"),
        ("video_id=v&last=1h&as_of=0", "as_of", "published version"),
    ],
)
def test_what_cannot_be_answered_says_what_to_send(api: Api, query: str, field: str, says: str) -> None:
    refused = httpx.get(f"{api.url}/v1/count?{query}")
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in refused.json()["errors"]]
    assert says in refused.json()["detail"]


def test_without_a_start_the_total_since_counting_began_is_given_and_an_end_to_come_is_now(api: Api) -> None:
    total = get(api, "/v1/count", video_id="ab", end="2099-01-01").json()
    assert (total["value"], total["start"], total["degraded"]) == (300, "2000-01-01T00:00:00Z", [])
    assert abs(datetime.fromisoformat(total["end"]) - datetime.now(UTC)) < timedelta(minutes=2)
    body = {"questions": [{"video_id": "ab"}, {"video_id": "ab", "last": "1w", "tz": "Asia/Kathmandu"}]}
    answers = httpx.post(f"{api.url}/v1/query", json=body).json()["answers"]
    assert [answer["value"] for answer in answers] == [300, 300]


def test_a_series_says_from_when_to_when_each_bucket_of_the_zone_is(api: Api) -> None:
    found = get(api, "/v1/series", video_id="ab", grain="week", last="1mo", tz="Asia/Kathmandu").json()
    assert (found["tz"], found["grain"]) == ("Asia/Kathmandu", "week")
    points = found["points"]
    assert [point["start"] for point in points[1:]] == [point["end"] for point in points[:-1]]
    assert (points[0]["start"], points[-1]["end"]) == (found["start"], found["end"])
    assert {point["start"][-9:] for point in points} == {"18:15:00Z"}
    assert sum(point["value"] for point in points) == 300


def test_a_series_of_too_many_points_is_refused(api: Api) -> None:
    refused = get(api, "/v1/series", video_id="v", last="8d", grain="minute")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "grain")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"questions": []}', b'{"questions": [{}], "x": 1}'])
def test_a_query_that_cannot_be_read_is_refused(api: Api, body: bytes) -> None:
    refused = httpx.post(f"{api.url}/v1/query", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code in (400, 422)
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_body_of_ten_megabytes_is_refused(api: Api) -> None:
    refused = httpx.post(f"{api.url}/v1/query", content=b" " * 10_000_000)
    assert refused.status_code == 413
    assert "send it in parts" in refused.json()["detail"]


def test_metrics_tell_latency_by_route_and_answers_by_exactness(api: Api) -> None:
    get(api, "/v1/count", video_id="ab", last="6h")
    metrics = get(api, "/metrics").text
    assert 'tallymark_http_request_seconds_count{route="/v1/count",status="200"}' in metrics
    assert 'tallymark_api_answers_total{exactness="approximate"}' in metrics
    assert "tallymark_api_store_errors_total 0.0" in metrics


def test_the_page_needs_nothing_but_the_api(api: Api) -> None:
    page = get(api, "/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert set(re.findall(r"https?://[^\"'\s]+", page.text)) == {"http://www.w3.org/2000/svg"}
