"""The client for those who ask: services, notebooks, and the `tallymark` command.

with Counts("http://127.0.0.1:8400") as counts:
    counts.count("ATL").value
    counts.series("ATL", grain="day", last="1w", tz="Europe/Berlin").to_pandas()
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Required, Self, TypedDict, TypeVar, Unpack

import httpx
import msgspec

from tallymark.client.audits import Audits
from tallymark.client.wire import Answer, Answers, Problem, Series, Stats, Versions
from tallymark.documents.publication import Publication
from tallymark.errors import InvalidQuestion, TallymarkError, Unavailable
from tallymark.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Ask", "Counts", "When", "Within"]

_PAUSES: Final = (0.1, 0.4, 1.6)
_UNPROCESSABLE: Final = 422
_UNAVAILABLE: Final = 503
Shape = TypeVar("Shape")
Time = datetime | date | int | str


class Within(TypedDict, total=False):
    """The range of a question: from `start`, or for `last` before `end`, which is like `24h`, `1w`, `3mo`; without
    either, since counting began. Ends at `end`, or now. `tz`: the zone of dates and buckets, like `Europe/Berlin`."""

    start: Time | None
    end: Time | None
    last: str | None
    tz: str | None


class When(Within, total=False):
    """And `as_of`: answer as when this version was published."""

    as_of: int | None


class Ask(Within, total=False):
    """One question of `query`; `type` is view and `function` is count unless it says otherwise."""

    video_id: Required[str]
    type: str
    function: str


class Counts:
    """Asks the API at `url`. Times are aware datetimes, epoch milliseconds or RFC 3339 text; a date is where that day
    begins in the zone `tz`.

    Answers are values, and tables by `to_pandas()` and `to_arrow()`.
    Calls raise InvalidQuestion for what cannot be asked, Unavailable when the API does not answer, TallymarkError for
    anything else that it refuses. Reads by GET (all but `query`) are tried again after each of `pauses`, in seconds,
    when the connection fails or the API says 503; not when `timeout` has passed. Instances may be shared by threads.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8400",
        *,
        token: str | None = None,
        timeout: float = 10.0,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        self._url = url
        self._pauses = pauses
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._settings: Settings | None = None
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    @classmethod
    def of(cls, settings: Settings, *, pauses: Sequence[float] = _PAUSES) -> Self:
        """The API of the system that has these settings, with one of its tokens."""
        counts = cls(settings.api.url, token=settings.own_token, pauses=pauses)
        counts._settings = settings
        return counts

    def count(self, video_id: str, type: str = "view", **when: Unpack[When]) -> Answer:
        """How many events of the video and type there were."""
        return self._get("/v1/count", Answer, video_id=video_id, type=type, **when)

    def stats(self, video_id: str, type: str = "view", **when: Unpack[When]) -> Stats:
        """Count, sum, min, max, mean and different users at once."""
        return self._get("/v1/stats", Stats, video_id=video_id, type=type, **when)

    def series(
        self,
        video_id: str,
        type: str = "view",
        *,
        grain: str = "hour",
        function: str = "count",
        **when: Unpack[When],
    ) -> Series:
        """One function per minute, hour, day, week, month, quarter or year of the zone `tz`, which is else UTC."""
        asked = {"video_id": video_id, "type": type, "grain": grain, "function": function}
        return self._get("/v1/series", Series, **asked, **when)

    def query(self, questions: Sequence[Ask], *, as_of: int | None = None) -> Answers:
        """Answers in the order of the questions, at most 1,000, all from one publication."""
        body: dict[str, Any] = {"questions": [_given(**question) for question in questions], **_given(as_of=as_of)}
        return _decoded(self._sent("POST", "/v1/query", json=body), Answers)

    def publication(self) -> Publication:
        """What readers see now."""
        return self._get("/v1/publication", Publication)

    def versions(self) -> Versions:
        """What was published, in the order in which readers saw it."""
        return self._get("/v1/versions", Versions)

    def audits(self, limit: int = 30) -> Audits:
        """What the last audits found, oldest first; their `hours()` are the newest word on each hour."""
        return self._get("/v1/audits", Audits, limit=limit)

    def sql(self, query: str, *, as_of: int | None = None, timeout: float = 300.0, **parameters: object) -> pa.Table:
        """What one SELECT finds in `events`, `raw`, `counts_hour`, `counts_day` and `versions` (docs/sql.md).

        `parameters` are what `$name` in it stands for. It does not go over HTTP: it reads the stores of the system, so
        it is for `Counts.of(settings)` where those settings reach them. Raises InvalidQuestion for what is refused.
        """
        if self._settings is None:
            raise InvalidQuestion(
                "SQL is not asked over HTTP: make these counts by `Counts.of(settings)`, where the settings reach the "
                "stores of raw events and views",
                "sql",
            )
        from tallymark.sql.session import answering, table_of

        with answering(self._settings, query, parameters=parameters, as_of=as_of, timeout=timeout) as result:
            return table_of(result, most_bytes=self._settings.sql_memory)

    def get_view_count(self, video_id: str, start: Time, end: Time) -> Answer:
        """`getViewCount` of the first design."""
        return self.count(video_id, start=start, end=end)

    def get_count(self, video_id: str, type: str, start: Time, end: Time) -> Answer:
        """`getCount` of the first design."""
        return self.count(video_id, type, start=start, end=end)

    def get_stats(self, video_id: str, type: str, function: str, start: Time, end: Time) -> Answer:
        """`getStats` of the first design: one function; `stats` gives all of them."""
        asked = Ask(video_id=video_id, type=type, function=function, start=start, end=end)
        return self.query([asked])[0]

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, path: str, shape: type[Shape], **parameters: Any) -> Shape:
        given = _given(**parameters)
        for pause in self._pauses:
            try:
                return _decoded(self._sent("GET", path, params=given), shape)
            except Unavailable as error:
                if isinstance(error.__cause__, httpx.TimeoutException):
                    raise
                time.sleep(pause)
        return _decoded(self._sent("GET", path, params=given), shape)

    def _sent(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise Unavailable(
                f"the API at {self._url} does not answer: {error or type(error).__name__}; "
                f"start it with `tallymark up`, or see `tallymark status`"
            ) from error
        if not response.is_success:
            raise _refusal(response)
        return response


def _given(**values: Any) -> dict[str, Any]:
    """What is not None, times as the API reads them."""
    return {name: _as_wire(value) for name, value in values.items() if value is not None}


def _as_wire(value: Any) -> Any:
    if not isinstance(value, date):
        return value
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidQuestion(f"{value.isoformat()} has no time zone; write datetime(…, tzinfo=UTC)", "start or end")
    return value.isoformat()


def _decoded(response: httpx.Response, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(response.content, type=shape)
    except msgspec.DecodeError as error:
        raise TallymarkError(_foreign(response)) from error


def _refusal(response: httpx.Response) -> TallymarkError:
    try:
        said = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        said = Problem(_foreign(response))
    if response.status_code == _UNAVAILABLE:
        return Unavailable(said.detail)
    if response.status_code == _UNPROCESSABLE and said.errors:
        return InvalidQuestion(said.errors[0]["reason"], said.errors[0]["field"])
    return TallymarkError(said.detail)


def _foreign(response: httpx.Response) -> str:
    return (
        f"{response.url} answered {response.status_code} with what no Tallymark API of this version would say; "
        f"check TALLYMARK_API"
    )
