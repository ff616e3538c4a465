"""What a process tells those who run it: lines on standard error, each with the ids of what it was at (ADR 43).

A line of a request carries `request_id`, which its answer has as X-Request-ID; one of a micro-batch `layer` and
`micro_batch`. Who writes a line need not know: `labelled` puts ids on all that is told within it.
"""

from __future__ import annotations

import logging

import structlog
from structlog.contextvars import bound_contextvars as labelled
from structlog.types import Processor

__all__ = ["begin_logs", "labelled"]


def begin_logs(form: str) -> None:
    """Tell what matters (warnings and errors) from now on. `form`: the setting `logs`, `text` or `json`."""
    label: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    write: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        write += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        write += [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=label, processors=write))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
