"""`gochat` for a shell, as a fork: ``python -E -S forked_gochat.py DOOR ARGUMENT …``.

This process stands for the fork of the fork server (:mod:`fork_server`) at that door: it passes on
the signals that servers know, and ends as the fork does.
"""

from __future__ import annotations

import os
import signal
import sys

from fork_door import Door, request, wait_status


def main() -> int:
    """Have gochat run; return its exit code."""
    door, *arguments = sys.argv[1:]
    command = [sys.executable, "-m", "gochat", *arguments]
    forked = Door(door).fork(request(command, os.environ, is_tied=True), [0, 1, 2])
    if forked is None:
        os.execv(sys.executable, command)
    pid, line = forked
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    code = os.waitstatus_to_exitcode(wait_status(line))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
