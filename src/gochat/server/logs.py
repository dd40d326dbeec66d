"""Logs: readable on a terminal, JSON lines otherwise. Never a message's text, never a secret.

Values are escaped, so that what a peer sends (a name with an escape sequence, say) can't draw on
the terminal of whoever reads the log, nor forge a line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog


def configure_logs(
    style: Literal["auto", "console", "json"], level: Literal["debug", "info", "warning", "error"]
) -> None:
    """Set up logging for this process: to standard error."""
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    renderers: list[structlog.typing.Processor]
    if style == "console":
        renderers = [
            _escape,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    else:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def _escape(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable() and key != "exception":
            event[key] = value.encode("unicode_escape").decode()
    return event
