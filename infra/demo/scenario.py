"""What happens in the demo, step by step. It knows the system by its commands and its HTTP interface only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from infra.demo.ask import Api
from infra.demo.display import Display
from infra.demo.results import Account, Comparison, Recount, Replay, Seam
from infra.demo.runner import CommandRunner
from infra.demo.truth import Subject, Truth
from tallymark.client import Answer
from tallymark.settings import Settings

__all__ = ["BEGIN", "Scenario"]

BEGIN: Final = datetime(2013, 1, 1, tzinfo=UTC)
_LOOK_EVERY: Final = 1.5  # seconds: each look reads every minute so far
_SHOWN: Final = 8


class Scenario:
    """`flights`, the truth about what is sent, are those delivered in the `days` days from the first of January."""

    def __init__(
        self, settings: Settings, flights: Truth, *, runner: CommandRunner, days: int, display: Display
    ) -> None:
        self._flights = flights
        self._display = display
        self._runner = runner
        self._api = Api(settings)
        self._lateness = settings.lateness
        self._end = BEGIN + timedelta(days=days)
        self._batch = max(10, 200 * days // 365)  # a short demo has as many posts as the year
        self._subjects = flights.subjects()
        self._top = [subject for subject in self._subjects if subject.type == "view"][:_SHOWN]
        self._sealed = BEGIN
        self._speed_said: Counter[Subject] = Counter()
        self._replays: list[Replay] = []
        self._recounts: list[Recount] = []
        self._problems: list[str] = []

    def run(self) -> Account:
        """Raises what the commands raise; what is merely wrong is in the account's `problems`."""
        middle = BEGIN + (self._end - BEGIN) / 2
        later = min(middle + timedelta(days=10), middle + (self._end - middle) / 2)
        self._replay(f"Events of real departures arrive, late as they were, until {middle:%F}", None, middle)
        self._recount("Half of it is recounted", middle)
        self._replay(f"Events go on until {later:%F}", middle, later)
        seam = self._across_the_seam(later)
        self._replay("The rest arrives", later, None)
        self._recount("The last recount", None)
        return self._account(seam)

    def _replay(self, title: str, start: datetime | None, until: datetime | None) -> None:
        """Send what was delivered in [start, until), a hundredth of the posts twice, and wait until it is all in."""
        self._display.heading(title)
        began = time.monotonic()
        bounds = [("--from", start), ("--until", until or self._last_delivery())]
        arguments = [word for name, at in bounds if at for word in (name, at.isoformat())]
        arguments += ["--batch", str(self._batch), "--resend", "0.01"]
        looks = _Looks(self._api, self._top, self._end)
        with self._display.arrivals(looks.at_times) as show:
            sent = self._runner.replay(*arguments, each=show)
        took = time.monotonic() - began
        with self._display.waiting("until the archive and the speed view have all of it"):
            self._runner.wait_until_included()
        settled = time.monotonic() - began - took
        self._display.say(
            f"{sent.sent:,} events in {took:.1f} s, {sent.resent:,} of them sent twice; "
            f"{settled:.1f} s later both layers have them all"
        )
        self._replays.append(
            Replay(sent=sent.sent, accepted=sent.accepted, resent=sent.resent, seconds=took, included_after_s=settled)
        )
        there = len(self._delivered(until).flights) - (len(self._delivered(start).flights) if start else 0)
        if sent.accepted != there:
            self._problems.append(f"{sent.accepted:,} events were accepted of {there:,}")

    def _recount(self, title: str, delivered_until: datetime | None) -> None:
        """Note what speed says about the hours that are about to be sealed, recompute, and compare with the truth."""
        self._display.heading(title)
        truth = self._delivered(delivered_until)
        sealed = self._seal(truth)
        self._speed_said.update(_values(self._api.ask(self._subjects, self._sealed, sealed)))
        began = time.monotonic()
        with self._display.waiting("tallymark recompute"):
            self._runner.call("recompute")
        took = time.monotonic() - began
        counts = self._api.ask(self._subjects, BEGIN, sealed)
        miles = self._api.ask(self._subjects, BEGIN, sealed, function="sum")
        start, end = _seconds(BEGIN), _seconds(sealed)
        wrong = self._wrong("events", counts, truth.counts(start, end))
        wrong += self._wrong("miles", miles, truth.miles(start, end))
        first = next(iter(counts.values()))
        if first.exact_until != sealed:
            self._problems.append(f"exact until {first.exact_until}, where the rule gives {sealed}")
        self._sealed = sealed
        self._recounts.append(
            Recount(
                version=first.version, exact_until=first.exact_until, seconds=took, asked=2 * len(counts), wrong=wrong
            )
        )
        self._display.say(
            f"version {first.version} in {took:.1f} s, exact until {first.exact_until:%F %H:%M}: "
            f"{2 * len(counts)} answers compared with the truth, {wrong or 'none'} differed"
        )

    def _across_the_seam(self, delivered_until: datetime) -> list[Seam]:
        self._display.heading("One answer from both views")
        exact = _values(self._api.ask(self._top, BEGIN, self._sealed))
        fresh = _values(self._api.ask(self._top, self._sealed, self._end))
        whole = self._api.ask(self._top, BEGIN, self._end)
        truth = self._delivered(delivered_until).counts(_seconds(BEGIN), _seconds(self._end))
        rows = [
            Seam(
                video_id=subject.video_id,
                exact_part=exact[subject],
                fresh_part=fresh[subject],
                stitched=int(answer.value or 0),
                truth_so_far=truth[subject],
                late_pending=answer.late_pending,
            )
            for subject, answer in whole.items()
        ]
        self._problems += [
            f"{row.video_id}: {row.exact_part} + {row.fresh_part} were stitched to {row.stitched}"
            for row in rows
            if row.exact_part + row.fresh_part != row.stitched
        ]
        self._display.seam(rows, exact_until=self._sealed)
        return rows

    def _account(self, seam: list[Seam]) -> Account:
        start, sealed, end = map(_seconds, (BEGIN, self._sealed, self._end))
        truth, truth_of_all = self._flights.counts(start, sealed), self._flights.counts(start, end)
        batch = _values(self._api.ask(self._top, BEGIN, self._sealed))
        stitched = _values(self._api.ask(self._top, BEGIN, self._end))
        off = {s: abs(self._speed_said[s] - truth[s]) for s in self._subjects}
        return Account(
            well=not self._problems,
            problems=self._problems,
            replays=self._replays,
            recounts=self._recounts,
            seam=seam,
            comparison=[
                Comparison(
                    video_id=s.video_id,
                    speed=self._speed_said[s],
                    batch=batch[s],
                    truth=truth[s],
                    stitched=stitched[s],
                    truth_of_all=truth_of_all[s],
                )
                for s in self._top
            ],
            subjects=len(self._subjects),
            speed_off_by=sum(off.values()),
            speed_wrong_subjects=sum(map(bool, off.values())),
            truth_events=truth.total(),
        )

    def _wrong(self, what: str, answers: Mapping[Subject, Answer], truth: Counter[Subject]) -> int:
        """How many of `answers` are not exactly the truth; each becomes a problem."""
        wrong = [
            f"{subject.type} {subject.video_id}: {answer.value} {what}{'' if answer.exact else ', not exact'}; "
            f"the truth is {truth[subject]}"
            for subject, answer in answers.items()
            if not answer.exact or (answer.value or 0) != truth[subject]
        ]
        self._problems += wrong
        return len(wrong)

    def _delivered(self, until: datetime | None) -> Truth:
        return self._flights if until is None else self._flights.delivered_before(_seconds(until))

    def _last_delivery(self) -> datetime:
        newest = max(flight.delivered_at for flight in self._flights.flights)
        return datetime.fromtimestamp(newest, UTC) + timedelta(seconds=1)

    def _seal(self, truth: Truth) -> datetime:
        """Where exact_until lies by its rule: the newest event's time minus the lateness, down to the hour."""
        at = datetime.fromtimestamp(truth.newest, UTC) - self._lateness
        return at.replace(minute=0, second=0, microsecond=0)


class _Looks:
    """Asks for the counts so far, but not all the time."""

    def __init__(self, api: Api, subjects: list[Subject], end: datetime) -> None:
        self._api, self._subjects, self._end = api, subjects, end
        self._due = 0.0
        self._seen: dict[Subject, int] = {}

    def at_times(self) -> dict[Subject, int]:
        if time.monotonic() >= self._due:
            self._seen = _values(self._api.ask(self._subjects, BEGIN, self._end))
            self._due = time.monotonic() + _LOOK_EVERY
        return self._seen


def _values(answers: Mapping[Subject, Answer]) -> dict[Subject, int]:
    return {subject: int(answer.value or 0) for subject, answer in answers.items()}


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
