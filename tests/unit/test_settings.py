"""Settings: one object, read from the environment and a file, with everything that is wrong said at once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import SettingsError
from tallymark.settings import Address, Settings, describe, parse_duration
from tests.support import strategies


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(environment: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as error:
        Settings.load(environment, file)
    assert all(problem in str(error.value) for problem in error.value.problems)
    return error.value.problems


def test_nothing_set_gives_the_defaults() -> None:
    assert Settings.load({}) == Settings()
    assert Settings().lateness == timedelta(seconds=30)
    assert Settings().api == ("127.0.0.1", 8400)
    assert Settings().raw_uri == str(Path.home() / ".tallymark" / "raw")
    assert Settings().own_token is None


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "tallymark.toml").write_text('lateness = "5m"\ntrigger = "3s"\nmax_batch = 10\ntokens = ["b", "a"]\n')
    settings = Settings.load({"TALLYMARK_LATENESS": "1h"})
    assert settings.lateness == timedelta(hours=1)
    assert settings.trigger == timedelta(seconds=3)
    assert settings.max_batch == 10
    assert settings.tokens == {"a", "b"}
    assert settings.archive_trigger == Settings().archive_trigger


def test_a_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('trigger = "9s"')
    assert Settings.load({"TALLYMARK_CONFIG": "other.toml"}).trigger == timedelta(seconds=9)
    assert Settings.load({}, tmp_path / "other.toml").trigger == timedelta(seconds=9)


def test_a_named_file_that_does_not_exist_is_a_problem_and_a_missing_default_one_is_not() -> None:
    assert problems({"TALLYMARK_CONFIG": "nowhere.toml"}) == ["nowhere.toml: there is no such file"]
    assert Settings.load({}) == Settings()


def test_everything_that_is_wrong_is_said_at_once_with_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "tallymark.toml").write_text('trigger = "soon"\ncolour = "blue"\n')
    found = problems(
        {"TALLYMARK_LATENESS": "2 weeks", "TALLYMARK_API": "8400", "TALLYMARK_LOG": "redis://", "TALLYMARK_X": "1"}
    )
    assert len(found) == 6
    assert sorted(problem.split(":")[0] for problem in found) == [
        "TALLYMARK_API",
        "TALLYMARK_LATENESS",
        "TALLYMARK_LOG",
        "TALLYMARK_X",
        "colour in tallymark.toml",
        "trigger in tallymark.toml",
    ]
    by_place = {problem.split(":")[0]: problem for problem in found}
    assert "'2 weeks' is not a duration; write for example 90s" in by_place["TALLYMARK_LATENESS"]
    assert "host:port" in by_place["TALLYMARK_API"]
    assert "write sqlite:, sqlite:/path or kafka://host:port,…/topic" in by_place["TALLYMARK_LOG"]
    assert "there is no such setting; the settings are alert_webhook, api, archive_trigger" in by_place["TALLYMARK_X"]


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "tallymark.toml").write_bytes(b"lateness = ")
    assert problems({})[0].startswith("tallymark.toml: not TOML")
    (tmp_path / "tallymark.toml").write_bytes(b"\xff\xfe")
    assert problems({})[0].startswith("tallymark.toml: not TOML")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2m", 120),
        ("2 min", 120),
        ("1.5h", 5400),
        ("7d", 604_800),
        ("250ms", 0.25),
        (" 1s ", 1),
        ("0s", 0),
    ],
)
def test_durations_are_written_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "1 week", "1e3s", "1m30s", "٣s x", f"{'9' * 30}d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("API", "127.0.0.1:0"),
        ("API", "127.0.0.1:65536"),
        ("GATEWAY", "localhost"),
        ("MAX_BATCH", "0"),
        ("MAX_BATCH", "ten"),
        ("STORE", "postgres://x"),
        ("RAW", "s3a://bucket/raw"),
        ("MAX_AGE", "long"),
        ("HOME", "~no_such_user_here/x"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_problem_that_names_its_variable(variable: str, text: str) -> None:
    (only,) = problems({f"TALLYMARK_{variable}": text})
    assert only.startswith(f"TALLYMARK_{variable}: ")


def test_other_variables_are_none_of_our_business() -> None:
    assert Settings.load({"PATH": "/bin", "tallymark_lateness": "x", "TALLYMARKS": "x"}) == Settings()


@pytest.mark.parametrize("text", ["off", "none"])
def test_a_recount_that_does_not_come_by_itself_is_off(text: str) -> None:
    assert Settings.load({"TALLYMARK_RECOUNT_EVERY": text}).recount_every is None
    assert Settings().recount_every == timedelta(minutes=1)


@pytest.mark.parametrize("text", ["0s", "900ms"])
def test_a_recount_without_a_pause_is_refused(text: str) -> None:
    (only,) = problems({"TALLYMARK_RECOUNT_EVERY": text})
    assert "write 1s or more, or off" in only


durations = st.integers(0, 10**9).map(lambda ms: timedelta(milliseconds=ms))
addresses = st.builds(Address, st.sampled_from(["127.0.0.1", "localhost", "0.0.0.0"]), st.integers(1, 65_535))
any_settings = st.builds(
    Settings,
    home=st.sampled_from([Path("/data"), Path("/data/with space/ü")]),
    log=st.sampled_from(["sqlite:", "sqlite:/x/log.sqlite", "kafka://a:9092,b:9092/events"]),
    store=st.sampled_from(["sqlite:", "sqlite:/x/views.sqlite", "hbase://a:9090,b:9090?prefix=t_"]),
    raw=st.sampled_from(["", "s3://bucket/raw", "/data/raw"]),
    kafka_properties=st.sampled_from([None, Path("/etc/kafka.properties")]),
    schema_registry=st.sampled_from(["", "http://a:8081", "/data/schemas"]),
    lateness=durations,
    trigger=durations,
    recount_every=st.none() | st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
    max_age=st.none() | durations,
    api=addresses,
    gateway=addresses,
    tokens=st.frozensets(st.from_regex(r"[!-+\--~]{1,20}", fullmatch=True), max_size=3),
    max_body=st.integers(1, 10**12),
    spark_master=st.sampled_from(["local[*]", "spark://a:7077"]),
)


@strategies.quick
@given(any_settings)
def test_settings_that_are_handed_to_a_child_arrive_unchanged(settings: Settings) -> None:
    environment = settings.environment()
    assert Settings.load(environment) == settings
    assert Settings.load(environment).environment() == environment


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().home = Path("/elsewhere")  # type: ignore[misc]


def test_every_setting_is_described_and_its_default_can_be_read() -> None:
    rows = describe()
    assert [name for name, *_ in rows] == [field.name for field in fields(Settings)]
    given_as_defaults = {variable: "" if default == "(empty)" else default for _, variable, default, _ in rows}
    assert Settings.load(given_as_defaults) == Settings()
    assert all(says.endswith(".") for *_, says in rows)
