"""The archive as a process, its raw table on S3: what it does while S3 is away, and when it may not work at all."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tallymark.documents.progress import ARCHIVE, SPEED
from tallymark.event import Event
from tallymark.settings import Settings
from tests.support.clusters import RunningCluster
from tests.support.streams import append, has_read, raw_places, streaming, words_of
from tests.support.systems import eventually, tallymark

pytestmark = pytest.mark.slow

PATIENCE = 240  # a busy machine takes long for the first micro-batch


@pytest.fixture
def on_s3(cluster: RunningCluster, tmp_path: Path) -> Settings:
    """Log and store are files, only the raw table is on S3."""
    return replace(cluster.settings(tmp_path / "home"), log="sqlite:", store="sqlite:")


def events(count: int, *, first: int = 0) -> list[Event]:
    now_ms = time.time_ns() // 1_000_000
    return [
        Event(event_id=f"e{n}", type="view", video_id=f"v{n % 50}", occurred_at=now_ms - n % 3000)
        for n in range(first, first + count)
    ]


def test_while_s3_is_away_the_speed_layer_counts_on_and_nothing_is_lost(
    cluster: RunningCluster, on_s3: Settings
) -> None:
    with streaming(on_s3) as process:
        end = append(on_s3, events(2000))
        eventually(lambda: has_read(on_s3, ARCHIVE, end), within=PATIENCE)
        cluster.cluster.kill("s3")
        try:
            end = append(on_s3, events(2000, first=2000))
            eventually(lambda: has_read(on_s3, SPEED, end), within=PATIENCE)
            eventually(lambda: "the archive waits" in words_of(on_s3), within=PATIENCE)
            assert f"S3 at {os.environ['AWS_ENDPOINT_URL']} does not answer for the raw table" in words_of(on_s3)
            assert not has_read(on_s3, ARCHIVE, end)
        finally:
            cluster.cluster.start("s3")
        end = append(on_s3, events(2000, first=4000))
        eventually(lambda: has_read(on_s3, ARCHIVE, end), within=PATIENCE)
        assert process.poll() is None
    assert [offset for _, offset in raw_places(on_s3)] == list(range(1, 6001))


def test_a_second_archive_is_told_who_works_and_the_first_works_on(on_s3: Settings, tmp_path: Path) -> None:
    with streaming(on_s3) as process:
        by_mistake = replace(on_s3, home=tmp_path / "other", store=f"sqlite:{on_s3.home / 'views.sqlite'}")
        refused = tallymark(by_mistake, "stream")
        assert refused.returncode == 1
        assert f"error: another archive runs: process {process.pid} on" in refused.stderr
        assert "end that process" in refused.stderr
        end = append(on_s3, events(100))
        eventually(lambda: has_read(on_s3, ARCHIVE, end), within=PATIENCE)
    assert len(raw_places(on_s3)) == 100


def test_an_archive_that_was_killed_starts_again_at_once(on_s3: Settings) -> None:
    with streaming(on_s3) as process:
        end = append(on_s3, events(1000))
        eventually(lambda: has_read(on_s3, ARCHIVE, end), within=PATIENCE)
        end = append(on_s3, events(5000, first=1000))
        process.kill()
        process.wait()
    with streaming(on_s3, within=150):
        eventually(lambda: has_read(on_s3, ARCHIVE, end), within=PATIENCE)
    assert [offset for _, offset in raw_places(on_s3)] == list(range(1, 6001))


@pytest.mark.parametrize(
    ("changes", "raw", "told"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, None, "refuses access to the raw table"),
        ({"AWS_ACCESS_KEY_ID": "NOBODY"}, None, "refuses access to the raw table"),
        ({}, "s3://tallymark-no-such-bucket/raw", "has no bucket 'tallymark-no-such-bucket' for the raw table"),
    ],
)
def test_an_archive_that_s3_refuses_ends_and_names_the_remedy_but_no_key(
    on_s3: Settings, changes: dict[str, str], raw: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    refused = tallymark(replace(on_s3, raw=raw or on_s3.raw), "stream")
    assert refused.returncode == 1
    assert f"S3 at {os.environ['AWS_ENDPOINT_URL']} {told}" in refused.stderr
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert os.environ[name] not in refused.stdout + refused.stderr
