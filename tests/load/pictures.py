"""A picture of each run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw"]

Figures = Mapping[str, Any]
_STYLE: Final = {"svg.hashsalt": "tallymark", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}


def draw(run: str, figures: Figures, path: Path) -> None:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        {"load": _load, "stress": _stress, "soak": _soak}[run](figures, left, right)
        for axes in (left, right):
            axes.legend(fontsize=8)
        figure.savefig(path, metadata={"Date": None})


def _load(figures: Figures, left: Axes, right: Axes) -> None:
    for name, said in (("post_ms", "posts"), ("question_ms", "questions")):
        curve = figures["by_percentile"][name]
        left.plot(list(curve), list(curve.values()), marker="o", label=said)
    left.set(xlabel="percentile", ylabel="ms, from when it was due", yscale="log")
    at = [window["at_s"] for window in figures["over_time"]]
    for name, said in (("post_ms", "post"), ("question_ms", "question"), ("fresh_after_ms", "acknowledged to counted")):
        right.plot(at, [window[name].get("p50") for window in figures["over_time"]], label=f"{said}, p50")
    right.set(xlabel="seconds", ylabel="ms", yscale="log")


def _stress(figures: Figures, left: Axes, right: Axes) -> None:
    steps = sorted(
        [*figures["steps"], *figures["beyond"], *([figures["half"]] if figures["half"] else [])],
        key=lambda step: step["asked_events_per_s"],
    )
    sent = [step["asked_events_per_s"] for step in steps]
    left.plot(sent, sent, color="grey", linestyle=":", label="sent")
    left.plot(sent, [step["accepted_events_per_s"] for step in steps], marker="o", label="accepted")
    left.set(xlabel="sent, events/s", ylabel="events/s")
    for at in ("p50", "p99"):
        right.plot(sent, [step["post_ms"].get(at) for step in steps], marker="o", label=f"accepted post, {at}")
    right.plot(sent, [step["question_ms"].get("p99") for step in steps], marker="o", label="question, p99")
    right.set(xlabel="sent, events/s", ylabel="ms, from when it was due", yscale="log")
    for axes in (left, right):
        axes.axvline(figures["knee_events_per_s"], color="grey", linewidth=0.8)


def _soak(figures: Figures, left: Axes, right: Axes) -> None:
    minutes = [each for each in figures["by_minute"] if "memory_mb" in each]
    at = [each["until_s"] / 60 for each in minutes]
    for name in figures["memory"]:
        left.plot(at, [each["memory_mb"].get(name) for each in minutes], label=name)
    left.set(xlabel="minutes", ylabel="MB", yscale="log")
    for name in ("p50", "p99"):
        freshness = [each["fresh_after_ms"].get(name) for each in minutes]
        right.plot(at, freshness, label=f"acknowledged to counted, {name}")
    right.plot(at, [sum(each["files"].values()) for each in minutes], label="files in home", linestyle="--")
    right.set(xlabel="minutes", ylabel="ms; files", ylim=(0, None))
    left.axvline(figures["warm_up"] / 60, color="grey", linewidth=0.8)
