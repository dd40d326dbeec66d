"""Child processes of tests: with default signal handling, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import trio

Process = TypeVar("Process", subprocess.Popen[str], subprocess.Popen[bytes], trio.Process)

_started: list[subprocess.Popen[str] | subprocess.Popen[bytes] | trio.Process] = []


def child(process: Process) -> Process:
    """Register a process, to be killed at the end of the run if it still lives.

    Whoever starts one ends it, but a test that its timeout interrupts does not.
    """
    _started.append(process)
    return process


@contextmanager
def looked_after() -> Iterator[None]:
    """Give children default signal handling, whatever started the run, and leave none behind."""
    # In the background of a script SIGINT is ignored, under nohup SIGHUP, and children inherit
    # that. They don't inherit handlers, so they get the default. The run itself survives a hangup.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    for process in _started:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
