"""What signals make ``gochat serve`` do.

================ ==============================================================================
SIGTERM, SIGINT  drain and stop; a second one stops at once
SIGHUP           reload the certificate; stop, if it is the terminal that has gone
SIGUSR1, SIGUSR2 nothing
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

#: Is given the event that says to stop, and the channel that asks to reload; returns an exit code.
Run: TypeAlias = Callable[[trio.Event, trio.MemoryReceiveChannel[None]], Awaitable[int]]

_HANGUP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)


def is_under_nohup() -> bool:
    """Return whether this process was started to outlive its terminal."""
    return _HANGUP is not None and signal.getsignal(_HANGUP) is signal.SIG_IGN


def ignore_requests() -> None:
    """Ignore the signals that ask a server for something: by default they end the process.

    :func:`until_signalled` takes SIGHUP, before the certificate is read.
    """
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


async def until_signalled(
    run: Run, *, stops_with_terminal: bool = True, twice_is_at_once: bool = True
) -> int:
    """Run until it returns or a signal says to stop; a second one can mean: at once.

    Not to a worker: a service manager notifies all processes of a service, and then the supervisor
    notifies its workers once more. Who wants them gone at once kills them.

    The system sends SIGHUP, too, when a terminal closes. A server that was started in it then stops
    (unless under nohup, without `stops_with_terminal`): nobody sees it any more, and it would keep
    the port.
    """
    stop, code = trio.Event(), 0
    ask_to_reload, reloads = trio.open_memory_channel[None](1)
    stops_with_terminal = stops_with_terminal and _has_terminal()
    # Windows has no SIGTERM to receive, but Python accepts its name there.
    numbers = [signal.SIGINT, signal.SIGTERM, *([] if _HANGUP is None else [_HANGUP])]
    with trio.open_signal_receiver(*numbers) as signals:
        async with trio.open_nursery() as nursery:

            async def obey() -> None:
                async for number in signals:
                    if number == _HANGUP and not (stops_with_terminal and not _has_terminal()):
                        # Unless it is asked to already, or ends.
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
    """True while this process has a controlling terminal."""
    if os.name != "posix":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
