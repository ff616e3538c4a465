"""An alert, for people: a line in the log and, where `alert_webhook` is set, a post to it.

The body is `{"text": …, "source": …, "state": "failing" | "well", …}`, which chat services show as it is. A webhook
that is down stops nobody: the line in the log says so.
"""

from __future__ import annotations

import http.client
import json
import logging
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["alert"]

_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


def alert(webhook: str, text: str, *, source: str, failing: bool, **details: Any) -> bool:
    """Log `text` and post it. False when there is a webhook that did not take it; never raises for that."""
    _log.log(logging.ERROR if failing else logging.WARNING, "%s: %s", source, text)
    if not webhook:
        return True
    body = {"text": f"{source}: {text}", "source": source, "state": "failing" if failing else "well", **details}
    try:
        status = _post(webhook, json.dumps(body, default=str).encode())
    except (OSError, http.client.HTTPException) as error:
        _log.error("the alert did not reach %s: %s; see the setting alert_webhook", _shown(webhook), error)
        return False
    if not 200 <= status < 300:
        _log.error("%s answered %d to the alert; see the setting alert_webhook", _shown(webhook), status)
        return False
    return True


def _post(url: str, body: bytes) -> int:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def _shown(url: str) -> str:
    """Without its path, which is often the secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"
