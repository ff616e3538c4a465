"""The two ways to run the same system, as the fixture `mode` names them."""

from __future__ import annotations

from typing import Final

import pytest

MODES: Final = ("embedded", "cluster")

embedded_only = pytest.mark.parametrize("mode", MODES[:1], indirect=True, scope="module")
"""For a test of a file that runs in both modes, when what it tests is the same in either, and slow."""
