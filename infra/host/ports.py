"""Are the ports that the system listens on free, and if not, who has them?"""

from __future__ import annotations

import errno
import http.client
import socket

import psutil

from tallymark.errors import ProcessError
from tallymark.settings import Address, Settings

__all__ = ["answers", "free_address", "require_free", "trouble_with"]


def answers(address: Address, path: str = "/readyz", *, timeout: float = 1.0) -> bool:
    """Does a server there answer `path` with 200?"""
    connection = http.client.HTTPConnection(_reachable(address.host), address.port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def require_free(settings: Settings) -> None:
    """Raises ProcessError that names every port which cannot be listened on, who has it, and the setting to change."""
    problems = [
        f"{problem}; {remedy}"
        for variable, address in (("TALLYMARK_API", settings.api), ("TALLYMARK_GATEWAY", settings.gateway))
        if (problem := trouble_with(address))
        for remedy in (
            f"stop that, or set {variable} to another address, for example {address.host}:{address.port + 10}",
        )
    ]
    if settings.api == settings.gateway:
        problems.append(f"TALLYMARK_API and TALLYMARK_GATEWAY are both {settings.api.host}:{settings.api.port}")
    if problems:
        raise ProcessError("nothing was started:\n" + "\n".join(f"  - {problem}" for problem in problems))


def free_address(wanted: Address) -> Address:
    """`wanted`, or the same host with a port that is free now."""
    if trouble_with(wanted) is None:
        return wanted
    with socket.socket() as probe:
        probe.bind((wanted.host, 0))
        return Address(wanted.host, probe.getsockname()[1])


def trouble_with(address: Address) -> str | None:
    """Why nobody can listen on `address` now, None when somebody could."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
            probe.bind(target)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"port {address.port} is in use by {_listener(address.port)}"
        return f"cannot listen on {address.host}:{address.port}: {error.strerror}"
    return None


def _listener(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return _describe(connection.pid)
    return "a process of another user"


def _describe(pid: int) -> str:
    try:
        words = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        words = ""
    return f"process {pid} ({words[:80] or 'unknown'})"


def _reachable(host: str) -> str:
    """Where to knock for a server that listens on all addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
