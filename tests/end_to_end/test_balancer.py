"""infra/nginx.conf for real: nginx in front of two gateways, one of which is killed while a client sends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tallymark.event import Event
from tallymark.settings import Address, Settings
from tests.support.gateways import gateway_process, logged, metric, send, views
from tests.support.systems import ROOT, eventually, free_ports, settings_in


@pytest.fixture(scope="module")
def nginx() -> str:
    """The program; installed where that is possible without asking anybody."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "nginx-light"]
        subprocess.run(
            install, check=False, capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        )
        found = shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("there is no nginx; on Debian: sudo apt-get install nginx-light")
    return found


@contextmanager
def balancer(nginx: str, folder: Path, gateways: list[Settings]) -> Iterator[Settings]:
    """Settings whose gateway is nginx in front of `gateways`."""
    folder.mkdir()
    front = replace(gateways[0], gateway=Address("127.0.0.1", free_ports(1)[0]))
    text = (ROOT / "infra" / "nginx.conf").read_text().replace("/tmp/", f"{folder}/")
    text = text.replace("listen 8080", f"listen 127.0.0.1:{front.gateway.port}")
    for name, address in (
        ("gateway-1:8401", gateways[0].gateway),
        ("gateway-2:8401", gateways[1].gateway),
        ("api:8400", gateways[0].api),
    ):
        assert f"server {name} " in text
        text = text.replace(f"server {name} ", f"server {address.host}:{address.port} ")
    (folder / "nginx.conf").write_text(text)
    user = "user root; " if os.geteuid() == 0 else ""
    command = [nginx, "-p", folder, "-c", folder / "nginx.conf", "-g", f"{user}daemon off;"]
    with subprocess.Popen(command) as process:
        try:
            eventually(lambda: process.poll() is None and send(front, views("warm", 1)).status == 202, within=20)
            yield front
        finally:
            process.terminate()


def test_a_gateway_that_is_killed_is_not_noticed_by_who_sends(nginx: str, tmp_path: Path) -> None:
    one = settings_in(tmp_path / "home")
    two = replace(one, gateway=Address("127.0.0.1", free_ports(1)[0]))
    acknowledged: list[Event] = []
    with ExitStack() as stack:
        processes = [stack.enter_context(gateway_process(each)) for each in (one, two)]
        front = stack.enter_context(balancer(nginx, tmp_path / "nginx", [one, two]))

        def keep_sending(posts: int) -> None:
            for _ in range(posts):
                events = views("v", 20)
                answer = send(front, events)
                assert (answer.status, answer.json) == (202, {"accepted": 20, "rejected": []})
                acknowledged.extend(events)

        keep_sending(50)
        assert all(metric(each, "tallymark_events_accepted_total") >= 100 for each in (one, two))
        processes[0].kill()
        keep_sending(100)
        with gateway_process(one):
            eventually(lambda: takes_part(one, front), within=20)
            processes[1].kill()
            keep_sending(50)

    found = {event for event in logged(one) if event.video_id == "v"}
    assert found == set(acknowledged)


def takes_part(gateway: Settings, front: Settings) -> bool:
    """Does nginx give posts to `gateway` again?"""
    before = metric(gateway, "tallymark_events_accepted_total")
    send(front, views("warm", 1))
    return metric(gateway, "tallymark_events_accepted_total") > before
