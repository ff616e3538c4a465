"""docs/load.md and its pictures, made of the figures in docs/load/: `python -m tests.load.page`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.load.pictures import draw
from tests.load.tables import failures, tables

__all__ = ["DOCS", "PAGE", "render", "write_page"]

DOCS: Final = Path("docs/load")
PAGE: Final = Path("docs/load.md")

_INTRODUCTION: Final = """# Load, stress and soak

What a whole system does on one small machine that also makes the load: gateway, stream, recounts and API, over files,
as `tallymark up` starts them. Made by the commands below with `ARGS=--docs`; do not edit. How to choose a machine:
[how large](operations.md#how-large).

    make load      # a steady load
    make stress    # more and more, until the gateway refuses some
    make soak      # 15 minutes: does anything grow?

Each starts a system in a temporary folder, on loopback, and ends it. `ARGS="--events-per-s 5000 --seconds 30"` changes
how much, `--json` prints all figures. A line that begins with NOT AS IT SHOULD BE, and exit code 1, say what was
missed.

The load is an open loop: posts of 200 events, one in a hundred of them three hours late, questions, and probes that are
asked for until they are counted, all sent by the clock whether or not there were answers. A duration counts from when
its request was due, so a server that stands still pays for everything that was due meanwhile. Load and system share the
processors: what is read here is what the machine does with both.
"""
_HEADS: Final = {
    "load": "## A steady load\n",
    "stress": """## More and more

When posts wait for longer than the [setting](settings.md) `max_wait`, for their turn or for the log, the gateway
answers 429 before it looks at them. What it takes is then still soon durable.
""",
    "soak": """## For a quarter of an hour

Memory counts pages that processes share by parts, after Java has collected its garbage. The line through all looks
after the warm-up gives the growth. Raw events grow with every event, and files that are out of the table stay for
`keep`; the log keeps what is not sealed yet, up to two hours of traffic.
""",
}


def write_page(docs: Path = DOCS, page: Path = PAGE) -> None:
    """All that is in `docs`: a picture for each run, and the page."""
    results = [json.loads(path.read_text()) for path in docs.glob("*.json")]
    for result in results:
        draw(result["name"], result["figures"], docs / f"{result['name']}.svg")
    page.write_text(render(results))


def render(results: Sequence[Mapping[str, Any]]) -> str:
    by_name = {result["name"]: result for result in results}
    return "\n".join([_INTRODUCTION, *(line for name in _HEADS if name in by_name for line in _part(by_name[name]))])


def _part(result: Mapping[str, Any]) -> Iterator[str]:
    name, figures, on = result["name"], result["figures"], result["machine"]
    yield _HEADS[name]
    yield from tables(name, figures)
    yield ""
    if missed := failures(name, figures):
        yield "\n".join(f"- {line}." for line in missed) + "\n"
    yield f"![{name}](load/{name}.svg)\n"
    yield f"Taken {result['taken_at'][:10]} on {on['processor']}, {on['cores']} cores, {on['memory_gib']} GiB;"
    yield f"the load average was {figures['load_average_before']} before (more than 0: others used the machine too).\n"


if __name__ == "__main__":
    write_page()
