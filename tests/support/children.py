"""The processes that tests start: with signals as at home, and none of them left behind."""

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
    """Note a process, to be killed at the end of the run should it live until then.

    Whoever starts one ends it. But a test that the time limit interrupts comes to no end.
    """
    _started.append(process)
    return process


@contextmanager
def looked_after() -> Iterator[None]:
    """Have children react to signals, whatever started the run, and leave none behind."""
    # In the background of a script SIGINT is ignored, under nohup SIGHUP, and children inherit
    # that. They don't inherit handlers: for them the default holds again. The run itself lives on
    # when it is hung up on.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    for process in _started:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
