"""Other engines that count the same topic: a Java program each, in `peers/`, with its jars by Maven at first use."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from unittest.mock import patch
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, TopicPartition

import infra.cluster.jars
from infra.cluster.environment import require_java
from stream.log.kafka.access import kafka_access
from tallymark.settings import Settings

__all__ = ["PEERS", "Peer", "peer"]

PEERS: Final = (
    ("flink", "counts"),
    ("flink", "deduplicated"),
    ("flink", "deduplicated_with_users"),
    ("kafka-streams", "counts"),
    ("kafka-streams", "deduplicated"),
)
"""(name, what it does). All count, sum, min and max by video, type and minute; `with_users`: exact distinct users."""

_FOLDER: Final = Path(__file__).with_name("peers")
_HEAP: Final = "-Xmx1500m"
_OPENS: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.nio", "java.util", "sun.nio.ch", "java.util.concurrent")
)


class Peer:
    """One that runs. Its group of consumers commits what it has finished, as far as its state is durable."""

    def __init__(self, process: subprocess.Popen[bytes], words: Path, settings: Settings, group: str) -> None:
        access = kafka_access(settings)
        self._finished = 0
        self._process = process
        self._words = words
        self._consumer = Consumer({**access.librdkafka(), "group.id": group, "enable.auto.commit": False})
        partitions = self._consumer.list_topics(access.topic, 10).topics[access.topic].partitions
        self._places = [TopicPartition(access.topic, each) for each in partitions]

    def finished(self) -> int:
        """Records that are committed. Raises with its last words when it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it has ended by itself:\n{self._words.read_text()[-4000:]}")
        with suppress(KafkaException):  # a broker that has just begun to look after groups; asked again soon
            committed = self._consumer.committed(self._places, timeout=10)
            self._finished = sum(max(0, place.offset) for place in committed)
        return self._finished

    def told(self) -> dict[str, int]:
        """Figures that it tells of itself at its end, as lines `figure name = number`; ends it."""
        self.end()
        lines = re.findall(r"^figure (\w+) = (\d+)$", self._words.read_text(), re.MULTILINE)
        return {name: int(value) for name, value in lines}

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def peer(name: str, does: str, settings: Settings) -> Iterator[Peer]:
    """`name` reads the topic from its beginning while inside, with state in a folder that is removed."""
    group = f"{name}-{uuid4().hex[:8]}"
    access = kafka_access(settings)
    (program,) = (_FOLDER / name).glob("*.java")
    lateness = str(round(settings.lateness.total_seconds()))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        words = stack.enter_context((folder / "words").open("wb"))
        command = [str(require_java().home / "bin" / "java"), _HEAP, *_OPENS, f"-Djava.io.tmpdir={folder}"]
        command += ["-cp", f"{_jars(name)}/*", str(program)]
        command += [access.brokers, access.topic, group, does, lateness, str(folder / "state")]
        process = stack.enter_context(subprocess.Popen(command, stdout=words, stderr=words))
        reading = Peer(process, folder / "words", settings, group)
        stack.callback(reading.end)
        yield reading


def _jars(name: str) -> Path:
    """Fetched as those of the servers, into the same cache; only their poms lie here."""
    with patch.object(infra.cluster.jars, "_POMS", _FOLDER):
        return infra.cluster.jars.jars(name)
