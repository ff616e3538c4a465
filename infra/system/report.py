"""What `tallymark status` shows, gathered from the supervisor's state, the servers and the view store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from infra.host.home import Home
from infra.host.lock import holder
from infra.host.ports import answers
from infra.host.sessions import members, memory
from infra.system.state import ProcessState, SystemState, read_state
from infra.system.store_servers import ServerReport, servers_of_the_store
from tallymark.cli.terminal import ago
from tallymark.documents import attempts, publication
from tallymark.documents.canary import CanaryRound, read_rounds
from tallymark.documents.coverage import Known, known
from tallymark.documents.progress import ARCHIVE, SPEED, Staleness, read_progress
from tallymark.documents.publication import Publication
from tallymark.errors import TallymarkError
from tallymark.settings import Address, Settings
from tallymark.store import ViewStore
from tallymark.store.open import open_store

__all__ = ["LayerReport", "ProcessReport", "StoreReport", "SystemReport", "report", "stored"]

_SILENT: Final = timedelta(minutes=3)  # without a round, a canary that runs is not well


class ProcessReport(msgspec.Struct, frozen=True, kw_only=True):
    """`doing`: ready, starting, restarting, or not answering."""

    name: str
    doing: str
    pid: int | None
    uptime_s: float | None
    memory_bytes: int | None
    restarts: int
    last_exit: str | None
    last_exit_at: datetime | None
    log: str


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far a layer has read the log."""

    included_until: datetime
    lag_s: float
    positions: dict[int, int]


class SystemReport(msgspec.Struct, frozen=True, kw_only=True):
    well: bool
    running: bool
    problems: list[str]
    home: str
    api: str
    gateway: str
    supervisor: int | None
    processes: list[ProcessReport]
    store_servers: list[ServerReport]
    archive: LayerReport | None
    speed: LayerReport | None
    publication: Publication | None
    last_attempt: int | None
    canaries: list[CanaryRound]
    coverage: Known | None


class StoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the view store says; `problem` when it cannot be read."""

    archive: LayerReport | None = None
    speed: LayerReport | None = None
    publication: Publication | None = None
    last_attempt: int | None = None
    canaries: list[CanaryRound] = []
    coverage: Known | None = None
    held_back: int | None = None
    problem: str | None = None


def report(settings: Settings) -> SystemReport:
    home = Home(settings.home)
    supervisor = holder(home.lock)
    state = read_state(home) if supervisor is not None else None
    processes = [_process(process, state) for process in state.processes] if state else []
    kept = stored(settings) if home.root.is_dir() else StoreReport()
    problems = [] if supervisor is not None else [f"nothing runs in {home.root}: `tallymark up` starts it"]
    problems += [f"{process.name} is {process.doing}" for process in processes if process.doing != "ready"]
    problems += [kept.problem] if kept.problem else []
    servers = servers_of_the_store(settings, api=state.api if state else settings.api.url)
    problems += [server.problem for server in servers if server.problem]
    problems += _held_back(kept)
    if supervisor is not None:
        problems += _lags(kept, settings)
        problems += _canaries(kept, supervised=any(process.name == "canary" for process in processes))
    return SystemReport(
        well=not problems,
        running=supervisor is not None,
        problems=problems,
        home=str(home.root),
        api=state.api if state else settings.api.url,
        gateway=state.gateway if state else settings.gateway.url,
        supervisor=supervisor,
        processes=processes,
        store_servers=servers,
        archive=kept.archive,
        speed=kept.speed,
        publication=kept.publication,
        last_attempt=kept.last_attempt,
        canaries=kept.canaries,
        coverage=kept.coverage,
    )


def _process(process: ProcessState, state: SystemState) -> ProcessReport:
    uptime = taken = None
    if process.pid is not None and process.started_at is not None:
        uptime = (datetime.now(UTC) - process.started_at).total_seconds()
        taken = memory(members(process.pid, home=Path(state.home), since=process.started_at.timestamp()))
    return ProcessReport(
        name=process.name,
        doing=_doing(process, state),
        pid=process.pid,
        uptime_s=uptime,
        memory_bytes=taken,
        restarts=process.restarts,
        last_exit=process.last_exit,
        last_exit_at=process.last_exit_at,
        log=process.log,
    )


def _doing(process: ProcessState, state: SystemState) -> str:
    if process.pid is None:
        return "restarting"
    if not process.ready:
        return "starting"
    url = {"api": state.api, "gateway": state.gateway}.get(process.name)
    return "ready" if url is None or answers(_address(url)) else "not answering"


def _address(url: str) -> Address:
    """Where the running server listens, which today's settings may not say."""
    parts = urlsplit(url)
    return Address(parts.hostname or "", parts.port or 0)


def stored(settings: Settings) -> StoreReport:
    try:
        store = open_store(settings)
    except TallymarkError as error:
        return StoreReport(problem=str(error))
    try:
        now = publication.current(store)
        return StoreReport(
            archive=_layer(store, ARCHIVE),
            speed=_layer(store, SPEED),
            publication=now if now.version else None,
            last_attempt=attempts.newest(store),
            canaries=read_rounds(store),
            coverage=known(store),
            held_back=publication.held_back(store),
        )
    except TallymarkError as error:
        return StoreReport(problem=str(error))
    finally:
        store.close()


def _layer(store: ViewStore, document: str) -> LayerReport | None:
    progress = read_progress(store, document)
    if progress is None:
        return None
    lag = (datetime.now(UTC) - progress.included_until).total_seconds()
    return LayerReport(included_until=progress.included_until, lag_s=max(0.0, lag), positions=progress.positions)


def _lags(kept: StoreReport, settings: Settings) -> list[str]:
    staleness = Staleness.of(settings)
    layers = (("archive", kept.archive, staleness.archive), ("speed layer", kept.speed, staleness.speed))
    return [
        f"the {name} is {ago(layer.lag_s)} behind; see the stream's log"
        for name, layer, longest in layers
        if layer is not None and layer.lag_s > longest.total_seconds()
    ]


def _held_back(kept: StoreReport) -> list[str]:
    if kept.held_back is None or kept.publication is None:
        return []
    return [
        f"version {kept.publication.version} was published again in the place of {kept.held_back}, so nothing is "
        f"recounted by itself: `tallymark recompute` goes on from there"
    ]


def _canaries(kept: StoreReport, *, supervised: bool) -> list[str]:
    """What fresh rounds found; an old one says nothing about now."""
    now = datetime.now(UTC)
    fresh = [found for found in kept.canaries if now - found.at < _SILENT]
    problems = [f"canary {found.name}: {found.part}: {found.trouble}" for found in fresh if not found.well]
    if supervised and kept.canaries and not fresh:
        problems.append("the canary has not been heard of for minutes; see its log")
    return problems
