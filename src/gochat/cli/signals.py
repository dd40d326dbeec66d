"""How ``gochat serve`` handles signals.

================ ==============================================================================
SIGTERM, SIGINT  drain and stop; a second one stops at once
SIGHUP           reload the configuration and the certificate; stop, if the terminal has gone
SIGUSR1, SIGUSR2 ignored
================ ==============================================================================

Windows has only SIGINT.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog
import trio

log = structlog.stdlib.get_logger()

#: Takes the event that requests a stop and the channel that requests reloads; returns an exit code.
Run: TypeAlias = Callable[[trio.Event, trio.MemoryReceiveChannel[None]], Awaitable[int]]

_HANGUP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)


def is_under_nohup() -> bool:
    """Return whether this process was started to outlive its terminal."""
    return _HANGUP is not None and signal.getsignal(_HANGUP) is signal.SIG_IGN


def ignore_requests() -> None:
    """Ignore the signals that ask a server to do something: by default they end the process.

    :func:`until_signalled` handles SIGHUP, before the certificate is read.
    """
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


async def until_signalled(
    run: Run, *, stops_with_terminal: bool = True, twice_is_at_once: bool = True
) -> int:
    """Run until `run` returns; a signal sets its stop event. A second one can stop it at once.

    `twice_is_at_once` is False for workers: a service manager signals all processes of a service,
    and then the supervisor signals its workers once more. To end them at once, kill them.

    The system also sends SIGHUP when a terminal closes. A server that was started in it then stops
    (unless under nohup, without `stops_with_terminal`): nobody sees it any more, and it would keep
    the port.
    """
    stop, code = trio.Event(), 0
    ask_to_reload, reloads = trio.open_memory_channel[None](1)
    stops_with_terminal = stops_with_terminal and _has_terminal()
    # Windows never delivers SIGTERM, but Python accepts its name there.
    numbers = [signal.SIGINT, signal.SIGTERM, *([] if _HANGUP is None else [_HANGUP])]
    with trio.open_signal_receiver(*numbers) as signals:
        async with trio.open_nursery() as nursery:

            async def obey() -> None:
                async for number in signals:
                    if number == _HANGUP and not (stops_with_terminal and not _has_terminal()):
                        # Unless a reload is pending already, or the server is ending.
                        with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
                            ask_to_reload.send_nowait(None)
                        continue
                    log.info("signal received", signal=signal.Signals(number).name)
                    if stop.is_set() and twice_is_at_once:
                        nursery.cancel_scope.cancel()
                    stop.set()

            nursery.start_soon(obey)
            code = await run(stop, reloads)
            nursery.cancel_scope.cancel()
    return code


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal."""
    if os.name != "posix":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
