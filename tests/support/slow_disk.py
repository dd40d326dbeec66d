"""A disk with slow syncs, for processes that are started with it.

Implemented by a C library that is loaded before theirs, because neither Redis nor the standard
library's sqlite3 has a hook for it. It is compiled on demand; without a compiler, the tests that
need it fail and give the reason.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("slow_sync.c")


class CompilerNotFound(Exception):
    """There is no C compiler, or it can't build the library; the text has its output."""


class SlowDisk:
    """A disk whose delay is set by files in `directory`. At first there is no delay.

    `environment` is for the processes whose syncs it slows down.

    Raises:
        CompilerNotFound: the library can't be built.
    """

    def __init__(self, directory: Path) -> None:
        library = directory / "slow_sync.so"
        self._delay = directory / "sync-delay"
        self._log = directory / "sync-log"
        self.slow_down(0)
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise CompilerNotFound(
                "no C compiler on PATH (cc, gcc, clang), with which the tests make a disk slow"
            )
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise CompilerNotFound(f"{compiler} can't compile {_SOURCE.name}: {made.stderr}")
        self.environment: Final = {
            "LD_PRELOAD": str(library),
            "GOCHAT_TEST_SYNC_DELAY": str(self._delay),
            "GOCHAT_TEST_SYNC_LOG": str(self._log),
        }

    def syncs(self) -> list[str]:
        """Return, for each sync so far, the thread that waited for it: ``main`` or ``other``."""
        return self._log.read_text().split() if self._log.exists() else []

    def slow_down(self, seconds: float) -> None:
        """Make each sync that begins from now on take this much longer."""
        new = self._delay.with_suffix(".new")
        new.write_text(f"{round(seconds * 1000)}\n")
        new.replace(self._delay)  # so that nobody reads a partial file
