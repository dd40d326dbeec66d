"""A disk that takes its time to sync, for processes that are started with it.

Made by a library in C that is loaded before theirs, for neither Redis nor the standard library's
sqlite3 has a hook for it. It is compiled when it is needed; where there is no compiler, the tests
that need it fail and say why.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("slow_sync.c")


class CompilerNotFound(Exception):
    """There is no C compiler, or it can't make the library; the text says what it said."""


class SlowDisk:
    """A disk with files in `directory` that say how slow it is. At first it is as fast as it is.

    `environment` is for the processes whose syncs it slows down.

    Raises:
        CompilerNotFound: the library can't be made.
    """

    def __init__(self, directory: Path) -> None:
        library = directory / "slow_sync.so"
        self._delay = directory / "sync-delay"
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
        }

    def slow_down(self, seconds: float) -> None:
        """Let each sync that begins from now on take so much longer."""
        new = self._delay.with_suffix(".new")
        new.write_text(f"{round(seconds * 1000)}\n")
        new.replace(self._delay)  # so that nobody reads half of it
