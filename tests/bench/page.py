"""docs/benchmarks.md: which figures of the benchmarks it shows, what stands beside them, and what was aimed at.

All other figures are in docs/benchmarks.json. A line whose figure was not measured is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["render"]


class Beside(NamedTuple):
    """A figure and a peer's, from the same result. `of` and `peer_of`: its name, then the path to the figure."""

    what: str
    of: str
    unit: str
    peer: str
    peer_of: str


class Alone(NamedTuple):
    what: str
    of: str
    unit: str
    aim: str = ""


_PEERS: Final = (
    Beside(
        "speed layer, plain counts and sums",
        "throughput/speed/counts/events_per_s",
        "events/s",
        "Flink SQL (see below)",
        "throughput/peers/flink/counts/events_per_s",
    ),
    Beside(
        "the same",
        "throughput/speed/counts/events_per_s",
        "events/s",
        "Kafka Streams",
        "throughput/peers/kafka-streams/counts/events_per_s",
    ),
    Beside(
        "speed layer, copies dropped",
        "throughput/speed/deduplicated/events_per_s",
        "events/s",
        "Flink SQL, no users",
        "throughput/peers/flink/deduplicated/events_per_s",
    ),
    Beside(
        "the same",
        "throughput/speed/deduplicated/events_per_s",
        "events/s",
        "Flink SQL, exact users",
        "throughput/peers/flink/deduplicated_with_users/events_per_s",
    ),
    Beside(
        "the same",
        "throughput/speed/deduplicated/events_per_s",
        "events/s",
        "Kafka Streams, no users",
        "throughput/peers/kafka-streams/deduplicated/events_per_s",
    ),
    Beside(
        "gateway into Kafka, 16 connections",
        "kafka_ingest/connections/16/events_per_s",
        "events/s",
        "bare librdkafka",
        "kafka_ingest/librdkafka_events_per_s/produce_batch",
    ),
    Beside(
        "gateway into files, 16 connections",
        "ingest/connections/16/events_per_s",
        "events/s",
        "the log without HTTP",
        "ingest/log_alone_events_per_s/20_posts_an_append",
    ),
    Beside(
        "a count over files, median",
        "count/count/p50",
        "ms",
        "an endpoint that does nothing",
        "count/bare/p50",
    ),
    Beside("a count over files, 99th percentile", "count/count/p99", "ms", "the same endpoint", "count/bare/p99"),
    Beside(
        "recount kernel, with users",
        "recompute/one_question/seconds/kernel_with_users",
        "s",
        "plain DuckDB",
        "recompute/one_question/seconds/duckdb_first_copy",
    ),
)
_ALONE: Final = (
    Alone("from acknowledged to counted, files, median", "freshness_embedded/fresh_after_s/p50", "s", "0.6 s"),
    Alone("the same, 99th percentile", "freshness_embedded/fresh_after_s/p99", "s"),
    Alone("from acknowledged to counted, cluster, median", "freshness_gateway/fresh_after_s/p50", "s", "0.8 s"),
    Alone("the same, 99th percentile", "freshness_gateway/fresh_after_s/p99", "s", "2 s"),
    Alone(
        "from acknowledged to pending, a late one, cluster, median", "freshness_gateway/late_after_s/p50", "s", "0.8 s"
    ),
    Alone("the same, 99th percentile", "freshness_gateway/late_after_s/p99", "s", "2 s"),
    Alone("the stream process at 20,000 events/s, cluster", "freshness_gateway/stream_cores", "cores"),
    Alone("a count over files, 99th percentile", "count/count/p99", "ms", "10 ms"),
    Alone("a count through HBase, 99th percentile", "hbase-count/count/p99", "ms", "10 ms"),
    Alone("archive, into a folder", "archive/events_per_s", "events/s"),
    Alone("archive, from Kafka onto S3", "archive_cluster/events_per_s", "events/s"),
    Alone("recount of 10 million rows, by processes here", "recompute/recount/all/command_s", "s"),
    Alone("recount of 10 million rows, on Spark", "recompute/recount/all_on_spark/command_s", "s"),
    Alone("recount with nothing to do", "recompute/recount/nothing/command_s", "s", "1 s"),
    Alone("recount after one late event", "recompute/recount/one_late_event/command_s", "s", "1 s"),
    Alone("audit of 0.9 million speed cells", "audit/seconds", "s", "60 s"),
    Alone("its memory", "audit/memory_mib", "MiB", "2 GiB"),
    Alone("memory of the stream process, files", "speed/stream_memory_mib", "MiB"),
    Alone("speed layer, half of all traffic on one video", "throughput/half_on_one_video_to_even", "of even traffic"),
    Alone("the canary", "metrics/canary_share_of_capacity", "of the machine"),
)
_INTRODUCTION: Final = """# Benchmarks

What Tallymark does on one small machine, beside what others do there. Made by `make bench`, then
`python -m tests.bench.report`; do not edit. Every figure is in [benchmarks.json](benchmarks.json). Absolute figures
hold for the machine; ratios beside a peer were taken in the same run and travel better. What follows from them for
your traffic: [how large](operations.md#how-large).
"""
_PEERS_ARE: Final = """
Flink and Kafka Streams read the same topic on the same cores and throw their output away; the speed layer puts cells
into HBase, and sketches users in each. Flink's plain counts were 434,000 events/s in an earlier run; here they were
measured for 17 seconds: take it to be ahead there. For times, a ratio above 1 means that the peer is quicker.
"""


def render(results: Sequence[Mapping[str, Any]]) -> str:
    """The page of these results, which `report.collect` gathered."""
    by_name = {str(result["name"]): result for result in results}
    machines = list(dict.fromkeys(_machine(result) for result in results))
    return "\n".join(
        [
            _INTRODUCTION,
            *(f"- Machine {number}: {machine}." for number, machine in enumerate(machines, start=1)),
            "\n## Beside others\n",
            "| what | Tallymark | peer | its figure | ratio | machine |",
            "|---|---:|---|---:|---:|---:|",
            *_beside(by_name, machines),
            _PEERS_ARE,
            "## By itself\n",
            "| what | figure | aim | taken | machine |",
            "|---|---:|---|---|---:|",
            *_alone(by_name, machines),
            "",
        ]
    )


def _beside(by_name: Mapping[str, Mapping[str, Any]], machines: Sequence[str]) -> Iterator[str]:
    for line in _PEERS:
        ours, theirs = _figure(by_name, line.of), _figure(by_name, line.peer_of)
        if ours is not None and theirs:
            yield (
                f"| {line.what} | {_number(ours)} {line.unit} | {line.peer} | {_number(theirs)} {line.unit} "
                f"| {ours / theirs:.2f} | {_on(line.of, by_name, machines)} |"
            )


def _alone(by_name: Mapping[str, Mapping[str, Any]], machines: Sequence[str]) -> Iterator[str]:
    for line in _ALONE:
        figure = _figure(by_name, line.of)
        if figure is not None:
            taken = str(by_name[line.of.partition("/")[0]]["taken_at"])[:10]
            on = _on(line.of, by_name, machines)
            yield f"| {line.what} | {_number(figure)} {line.unit} | {line.aim or '-'} | {taken} | {on} |"


def _on(path: str, by_name: Mapping[str, Mapping[str, Any]], machines: Sequence[str]) -> int:
    """The number of the machine on which the figure was taken."""
    return machines.index(_machine(by_name[path.partition("/")[0]])) + 1


def _figure(by_name: Mapping[str, Mapping[str, Any]], path: str) -> float | None:
    """None of what was not measured. Spaces in a name count as underscores."""
    name, *keys = path.split("/")
    figure: Any = by_name.get(name, {}).get("figures", {})
    for key in keys:
        figure = {str(known).replace(" ", "_"): value for known, value in figure.items()}.get(key)
        if figure is None:
            return None
    return float(figure)


def _machine(result: Mapping[str, Any]) -> str:
    on = result["machine"]
    return f"{on['processor']}, {on['cores']} cores, {on['memory_gib']} GiB, {on['system']}, Python {on['python']}"


def _number(value: float) -> str:
    """To three digits, with thin groups of three: 61 234, 0.00123, 1.57."""
    return f"{round(value):,}".replace(",", "\u202f") if value >= 1000 else f"{value:.3g}"
