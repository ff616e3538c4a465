"""The processes of Tallymark: `tallymark up`, `down`, `status` and `doctor`.

up ─▶ supervisor ─▶ child    each process started, looked after, started again, ended with all that it started
          └─▶ state          what the supervisor says of itself, in a file
status ─▶ report             that file, the servers and the view store, gathered
processes                    which processes there are, and with which environment they run
"""

from __future__ import annotations

from infra.system.processes import child_environment, running, tallymark_command
from infra.system.state import SystemState

__all__ = ["SystemState", "child_environment", "running", "tallymark_command"]
