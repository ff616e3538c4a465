"""Asking the API from Python and from the command line, over files and over HBase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tallymark.client import Counts
from tallymark.errors import InvalidQuestion, TallymarkError, Unavailable
from tallymark.settings import Settings
from tests.support.apis import Api, client, filled_api
from tests.support.systems import settings_in, tallymark, told


@pytest.fixture(scope="module")
def api(new_settings: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with filled_api(new_settings(tmp_path_factory.mktemp("api") / "home")) as running:
        yield running


def test_the_client_asks_everything_that_the_api_answers(api: Api) -> None:
    with client(api.settings) as counts:
        assert counts.count("ab", last="6h").value == 300
        assert counts.stats("ab", start=api.exact_until - timedelta(hours=1), end=api.exact_until).count == 60
        assert counts.get_view_count("ab", api.exact_until - timedelta(hours=1), api.exact_until).exact
        assert counts.get_count("ab", "like", api.exact_until - timedelta(hours=1), api.exact_until).value == 0
        assert counts.get_stats("ab", "view", "max", datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC)).value == 299
        one, other = counts.query([{"video_id": "ab", "last": "6h"}, {"video_id": "nobody", "last": "6h"}])
        assert (one.value, other.value) == (300, 0)
        assert counts.publication() == counts.versions()[-1]
        assert not counts.audits(limit=5)
        with pytest.raises(InvalidQuestion, match="for example view"):
            counts.count("ab", "View", last="6h")
        with pytest.raises(InvalidQuestion, match="has no time zone"):
            counts.count("ab", start=datetime(2026, 1, 1))  # noqa: DTZ001
        with pytest.raises(TallymarkError, match="version 9 was never published"):
            counts.count("ab", last="6h", as_of=9)


def test_a_series_becomes_a_table_with_its_gaps_left_open(api: Api) -> None:
    start = api.exact_until - timedelta(hours=1)
    with client(api.settings) as counts:
        found = counts.series("ab", grain="hour", start=start, end=datetime.now(UTC) + timedelta(hours=1))
    rows = found.to_arrow().to_pylist()
    assert rows[0] == {"start": start, "value": 60, "exact": True}
    assert (rows[-1]["value"], rows[-1]["exact"]) == (None, False)
    frame = found.to_pandas()
    assert frame["value"].dropna().tolist() == [row["value"] for row in rows if row["value"] is not None]
    assert frame.index[0] == start


def test_answers_to_many_questions_are_one_table(api: Api) -> None:
    with client(api.settings) as counts:
        found = counts.query([{"video_id": "ab", "last": "6h", "function": f} for f in ("count", "max", "users")])
    frame = found.to_pandas().set_index("function")
    assert frame.loc["count", "value"] == 300
    assert frame.loc["max", "value"] == 299
    assert frame.loc["users", "lower"] <= 50 <= frame.loc["users", "upper"]


def test_the_command_prints_the_answer_and_how_true_it_is(api: Api) -> None:
    shown = tallymark(api.settings, "count", "ab", "--last", "6h")
    assert shown.returncode == 0
    assert "300   count of view events of ab" in shown.stdout
    assert f"exact   until {api.exact_until:%Y-%m-%d %H:%M}, version 1" in shown.stdout
    assert "no upper bound is known" in shown.stdout
    stats = tallymark(api.settings, "stats", "ab", "--start", api.exact_until.isoformat()).stdout
    assert "users   about 50" in stats
    assert told(api.settings, "count", "ab", "--last", "6h")["value"] == 300
    assert told(api.settings, "stats", "ab")["count"] == 300
    refused = tallymark(api.settings, "count", "ab", "--start", "2026-01-01")
    assert refused.returncode == 1
    assert "RFC 3339 with a zone" in refused.stderr


def test_without_an_api_the_client_and_the_command_say_how_to_start_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    with Counts(settings.api.url, pauses=(0.01, 0.01)) as counts, pytest.raises(Unavailable, match="`tallymark up`"):
        counts.count("ab", last="1h")
    shown = tallymark(settings, "count", "ab")
    assert shown.returncode == 1
    assert "start it with `tallymark up`" in shown.stderr
