"""Run a command beside loops that take all the time they get; what `make test-loaded` does.

Usage: python busy_machine.py LOOPS COMMAND...
"""

from __future__ import annotations

import signal
import subprocess
import sys

#: Ends by itself if nobody is left to end it.
_LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"


def main() -> int:
    """Return the command's exit code, once the loops have been ended by their ids."""
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
