"""Dead letters are mended and go in by the front door, once, wherever a replay ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stream.dead_letters.fix import read_fix, unchanged
from stream.dead_letters.replay import replay
from tallymark.client.courier import Courier
from tallymark.client.wire import Verdict
from tallymark.documents.dead_letters import DeadLetter, bury
from tallymark.event import LATEST_MS, Event
from tallymark.instants import now_ms, utc_now
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support.gateways import gateway_process, logged
from tests.support.systems import settings_in, tallymark

RULES = """
rename = { ts = "occurred_at", video = "video_id" }
values.type = { View = "view" }
default = { value = 7 }
set = { producer_id = "mended" }
"""


class Crash(BaseException):
    pass


class Dying(Courier):
    """Posts, and then the process would be gone."""

    def post(self, events: Sequence[Event]) -> Verdict:
        super().post(events)
        raise Crash


def letter(offset: int, record: bytes, field: str | None = None) -> DeadLetter:
    return DeadLetter(
        log_partition=0, log_offset=offset, appended_at=now_ms(), reason="no event", field=field, record=record
    )


def old(n: int, **more: Any) -> bytes:
    fields = {"event_id": f"d{n}", "type": "View", "video": "intro", "ts": now_ms() - 60_000}
    return json.dumps(fields | more).encode()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A gateway that runs, and five dead letters."""
    settings = settings_in(tmp_path / "home")
    with gateway_process(settings):
        letters = [letter(n, old(n), "occurred_at") for n in range(3)]
        letters += [letter(3, b"\xff\x00"), letter(4, old(4, event_id=None), "occurred_at")]
        with closing(open_store(settings)) as store:
            bury(store, letters)
        yield settings


def rules(settings: Settings, text: str = RULES) -> Path:
    path = settings.home / "mend.toml"
    path.write_text(text)
    return path


def told(settings: Settings, *arguments: str) -> Any:
    done = tallymark(settings, "dead-letters", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_letters_are_mended_sent_once_and_shown_as_replayed(settings: Settings) -> None:
    mend = str(rules(settings))
    dry = told(settings, "replay", "--fix", mend, "--dry-run", "--json")
    assert (dry["sent"], dry["events"][0]["value"], logged(settings)) == (4, 7, [])
    done = told(settings, "replay", "--fix", mend, "--json")
    assert (done["sent"], done["sent_before"]) == (4, 0)
    assert [refused["places"] for refused in done["refused"]] == [["0:3"]]
    again = told(settings, "replay", "--fix", mend, "--json")
    assert (again["sent"], again["sent_before"]) == (0, 4)
    ids = [event.event_id for event in logged(settings)]
    assert ids == ["d0", "d1", "d2", "dead-letter-0-4"]
    listed = told(settings, "list", "--json")["dead_letters"]
    assert [one["replayed"] for one in listed] == [True, True, True, False, True]
    shown = tallymark(settings, "dead-letters", "show", "0:3")
    assert "ff 00" in shown.stdout
    assert "replayed  no" in shown.stdout
    assert tallymark(settings, "dead-letters", "show", "0:9").returncode != 0


def test_what_was_exported_is_mended_by_hand_and_replayed(settings: Settings) -> None:
    lines = [json.loads(line) for line in tallymark(settings, "dead-letters", "export").stdout.splitlines()]
    assert [line["log_offset"] for line in lines] == [0, 1, 2, 3, 4]
    assert "record_base64" in lines[3]
    record = {"event_id": "by-hand", "type": "view", "video_id": "intro", "occurred_at": now_ms()}
    mended = settings.home / "mended.ndjson"
    mended.write_text(json.dumps({"log_partition": 0, "log_offset": 3, "record": json.dumps(record)}) + "\n")
    done = told(settings, "replay", "--fix", str(mended), "--json")
    assert (done["sent"], done["passed"]) == (1, 4)
    assert [event.event_id for event in logged(settings)] == ["by-hand"]
    waiting = tallymark(settings, "dead-letters", "export", "--waiting").stdout.splitlines()
    assert [json.loads(line)["log_offset"] for line in waiting] == [0, 1, 2, 4]


def test_a_replay_that_dies_is_followed_by_one_that_sends_the_same_again(settings: Settings) -> None:
    with closing(open_store(settings)) as store:
        fix = read_fix(rules(settings))
        with pytest.raises(Crash):
            replay(store, Dying(settings.gateway.url), fix, now=utc_now, latest_ms=LATEST_MS)
        other = read_fix(rules(settings, RULES.replace('"mended"', '"otherwise"')))
        done = replay(store, Courier(settings.gateway.url), other, now=utc_now, latest_ms=LATEST_MS)
        assert (done.sent, done.before) == (4, 0)
        nothing = replay(store, Courier(settings.gateway.url), unchanged, now=utc_now, latest_ms=LATEST_MS)
        assert (nothing.sent, nothing.before) == (0, 4)
    events = logged(settings)
    assert len(events) == 8
    assert len({(event.event_id, event.video_id, event.occurred_at, event.producer_id) for event in events}) == 4
