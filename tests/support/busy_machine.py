"""Run a command next to loops that use all the CPU time they get; used by `make test-loaded`.

Usage: python busy_machine.py LOOPS COMMAND...
"""

from __future__ import annotations

import signal
import subprocess
import sys

#: Ends by itself if its parent is gone.
_LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"


def main() -> int:
    """Run the command, end the loops by their process ids, and return the command's exit code."""
    count, *command = sys.argv[1:]
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(signal.Signals[name], lambda number, _: sys.exit(128 + number))
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(int(count))]
    try:
        with subprocess.Popen(command) as process:
            try:
                return process.wait()
            except BaseException:
                process.terminate()
                raise
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main())
