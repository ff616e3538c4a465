"""`tallymark recompute`, `versions` and `rollback` as people and programs call them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tallymark.documents.progress import ARCHIVE
from tallymark.instants import EPOCH
from tallymark.settings import Settings
from tests.support.gateways import views
from tests.support.recounts import MIDNIGHT, World, many_events
from tests.support.streams import append, included_until, streaming
from tests.support.systems import eventually, tallymark, told

PATIENCE = 120


def test_recompute_versions_and_rollback_say_what_they_did(tmp_path: Path) -> None:
    world, settings = World(tmp_path, rows_at_once=100_000), Settings(home=tmp_path)
    world.archived_until(MIDNIGHT + 2)
    world.append(*many_events(500, 1))
    first = told(settings, "recompute")
    assert (first["published"], first["version"], first["exact_until"]) == (True, 1, "2026-02-01T00:00:00Z")
    assert first["rows"] == first["events"] + first["duplicates"] > 0

    again = tallymark(settings, "recompute")
    assert again.stdout == (
        "Nothing to recount: version 1 is exact until 2026-02-01 00:00 UTC; "
        "it has what the log took before 2026-02-01 00:02:00 UTC and the archive committed\n"
    )

    world.append(*many_events(100, 2))
    recount = tallymark(settings, "recompute").stdout
    assert "Version 2 is published" in recount
    assert "duplicates removed" in recount

    assert "Readers see version 1" in tallymark(settings, "rollback", "1").stdout
    listed = tallymark(settings, "versions").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["1", "2", "1"]
    assert [line.endswith("readers see it") for line in listed] == [False, False, True]


def test_what_cannot_be_done_is_said_and_the_exit_code_is_1(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    nothing = tallymark(settings, "recompute")
    assert nothing.returncode == 1
    assert "there are no raw events in" in nothing.stderr
    unknown = tallymark(settings, "rollback", "9")
    assert unknown.returncode == 1
    assert "version 9 was never published" in unknown.stderr
    assert "Nothing was published yet" in tallymark(settings, "versions").stdout


def test_a_recompute_right_after_the_first_events_waits_until_they_are_archived(
    new_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = new_settings(tmp_path / "home", archive_trigger=timedelta(hours=1))
    with streaming(settings):
        eventually(lambda: included_until(settings, ARCHIVE) > EPOCH, within=PATIENCE)
        nothing = tallymark(settings, "recompute")
        assert nothing.returncode == 1
        assert "holds no events yet" in nothing.stderr
        append(settings, views("intro", 3))
        first = tallymark(settings, "recompute")
        assert (first.returncode, first.stdout.startswith("Version 1 is published")) == (0, True), first.stderr
        assert "the archive was asked to commit" in first.stderr
