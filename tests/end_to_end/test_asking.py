"""Asking the API from Python and from the command line, over files and over HBase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

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
        total = counts.count("ab")
        assert (total.value, total.start) == (300, datetime(2000, 1, 1, tzinfo=UTC))
        assert counts.stats("ab").count == counts.stats("ab", last="1mo", tz="Asia/Kathmandu").count == 300
        assert counts.count("ab", start=date(2020, 1, 1), end=date(2099, 1, 1), tz="Europe/Berlin").value == 300
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
        with pytest.raises(InvalidQuestion, match="write for example Europe/Berlin"):
            counts.count("ab", tz="europe/berlin")
        with pytest.raises(InvalidQuestion, match="has no time zone"):
            counts.count("ab", start=datetime(2026, 1, 1))  # noqa: DTZ001
        with pytest.raises(TallymarkError, match="version 9 was never published"):
            counts.count("ab", last="6h", as_of=9)


def test_a_series_becomes_a_table_with_its_gaps_left_open(api: Api) -> None:
    start = api.exact_until - timedelta(hours=1)
    with client(api.settings) as counts:
        found = counts.series("ab", grain="hour", start=start, end=datetime.now(UTC) + timedelta(hours=1))
    rows = found.to_arrow().to_pylist()
    assert rows[0] == {"start": start, "end": api.exact_until, "value": 60, "exact": True}
    assert rows[-1]["start"] <= datetime.now(UTC), "an end that is to come is now"
    assert not rows[-1]["exact"]
    frame = found.to_pandas()
    assert frame["value"].tolist() == [row["value"] for row in rows]
    assert frame.index[0] == start


def test_a_series_of_a_time_zone_is_a_table_in_its_time(api: Api) -> None:
    with client(api.settings) as counts:
        found = counts.series("ab", grain="day", last="1w", tz="Asia/Kathmandu")
        years = counts.series("ab", grain="year", function="max", tz="Europe/Berlin")
    frame = found.to_pandas()
    assert frame["value"].sum() == 300
    assert {(at.hour, at.minute, str(at.tz)) for at in frame.index} == {(0, 0, "Asia/Kathmandu")}
    assert frame["end"].tolist()[:-1] == frame.index.tolist()[1:]
    assert len(years.points) == datetime.now(ZoneInfo("Europe/Berlin")).year - 1999
    assert max(point.value or 0 for point in years.points) == 299


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
    assert told(api.settings, "count", "ab", "--start", "2020-01-01", "--tz", "America/New_York")["value"] == 300
    refused = tallymark(api.settings, "count", "ab", "--start", "2026-01-01T00:00")
    assert refused.returncode == 1
    assert "RFC 3339 with a zone" in refused.stderr


def test_the_command_prints_a_series_by_the_clocks_of_a_zone(api: Api) -> None:
    shown = tallymark(api.settings, "series", "ab", "--grain", "hour", "--tz", "Asia/Kathmandu", "--last", "6h")
    assert shown.returncode == 0
    first, *lines = shown.stdout.splitlines()
    assert first == "count of view events of ab, by hour in Asia/Kathmandu"
    points = [line.split() for line in lines if "+0545" in line]
    assert {point[1][-2:] for point in points} == {"00"}
    assert sum(int(point[3]) for point in points) == 300
    assert points[-1][4:] == ["not", "exact"]
    weeks = told(api.settings, "series", "ab", "--grain", "week", "--last", "1mo", "--tz", "Europe/Berlin")
    assert sum(point["value"] for point in weeks["points"]) == 300


def test_without_an_api_the_client_and_the_command_say_how_to_start_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    with Counts(settings.api.url, pauses=(0.01, 0.01)) as counts, pytest.raises(Unavailable, match="`tallymark up`"):
        counts.count("ab", last="1h")
    shown = tallymark(settings, "count", "ab")
    assert shown.returncode == 1
    assert "start it with `tallymark up`" in shown.stderr
