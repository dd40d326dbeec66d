"""Logging: readable on a terminal, JSON lines otherwise; never a message's text, never a secret.

Values are escaped, so that what a peer sends (a name with an escape sequence, say) can neither draw
on the terminal of whoever reads the log, nor forge a line. If a line can't be written, because the
disk is full or the reader is gone, it is lost: that must not end a chat.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, Literal, TextIO, cast

import structlog
from msgspec import structs

import gochat
from gochat.config import Config
from gochat.server.limits import max_connections

log = structlog.stdlib.get_logger()


def log_start(config: Config, sources: Mapping[str, str], *, workers: int) -> None:
    """Log what is started: the program, its environment, and its settings with their sources."""
    log.info(
        "starting",
        version=gochat.__version__,
        python=platform.python_version(),
        pid=os.getpid(),
        workers=workers,
        store=without_credentials(config.store_url),
        configured=dict(sources),
        limits={**structs.asdict(config.limits), "max_connections": max_connections(config.limits)},
        registration=config.registration.mode,
        websocket=config.websocket,
    )


def without_credentials(url: str) -> str:
    """Return a store's URL without user, password and options, which may be secret, too."""
    scheme, separator, location = url.partition("://")
    location = location.partition("?")[0]
    if scheme != "sqlite":  # a path may contain an @
        location = location.rpartition("@")[2]
    return scheme + separator + location


class _Lossy:
    """A text stream that ignores errors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure_logs(
    style: Literal["auto", "console", "json"],
    level: Literal["debug", "info", "warning", "error"],
    *,
    worker: int | None = None,
) -> None:
    """Set up logging to standard error. In a worker, each line has its number."""
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
        renderers = [structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            *([] if worker is None else [partial(_add_worker, worker)]),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def _add_worker(worker: int, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
    event["worker"] = worker
    return event


def _escape(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
    for key, value in event.items():
        text = value if isinstance(value, str) else repr(value)
        if (
            key == "exception"
        ):  # the only value of several lines: indent it, so that none looks like a log line
            event[key] = "\n".join("    " + _visible(line) for line in text.split("\n"))
        elif not text.isprintable():
            event[key] = _visible(text)
    return event


def _visible(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
