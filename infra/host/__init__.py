"""What is on this machine, for all that infra starts: a home and its lock, ports, Java, sessions of processes, servers
that outlive a command (`process`), and programs with a time limit (`program`). It imports no other package of infra.
"""

from __future__ import annotations

__all__ = ["home", "java", "lock", "ports", "process", "program", "sessions"]
