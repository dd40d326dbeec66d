"""Run a command only as long as its parent process: ``… companion serve --port 1``.

Its standard input is a pipe that the parent holds open and never writes to. However the parent
ends, on its own, by a signal or by a crash, the system closes the pipe, and the command is asked
to stop. Rejected: a signal handler or ``atexit`` in the parent, which SIGKILL bypasses, and the
"parent death signal", which only Linux has.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from gochat.cli import main


def _stop_with_parent() -> None:
    # Not sys.stdin: a thread blocked on its buffer would keep Python from exiting.
    while os.read(0, 1024):
        pass
    # A Windows process can only be ended by SIGTERM, not asked to drain first.
    signal.raise_signal(signal.SIGINT if sys.platform == "win32" else signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.exit(main())
