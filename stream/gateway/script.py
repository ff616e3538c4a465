"""`tallymark.js` as it is served: the file in `web/` without what only people need."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import Final

__all__ = ["ETAG", "SCRIPT"]

_SOURCE: Final = files("stream.gateway").joinpath("web", "tallymark.js").read_text()
_COMMENT: Final = re.compile(r"(^|\s)// .*$", re.MULTILINE)
_SPACES: Final = re.compile(r" *([^\w ]) *")  # around signs
SCRIPT: Final = "\n".join(filter(None, _SPACES.sub(r"\1", _COMMENT.sub("", _SOURCE)).splitlines())).encode()
ETAG: Final = f'"{hashlib.sha256(SCRIPT).hexdigest()[:16]}"'
