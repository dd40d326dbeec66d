"""`gochat serve` as its users run it: a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from children import child
from patience import PATIENCE

#: Cheap password hashes.
CHEAP = ["--set", "limits.argon2_memory=8", "--set", "limits.argon2_time=1"]
GOCHAT = [sys.executable, "-m", "gochat"]


class Running:
    """A `gochat serve` process and its log."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.log: list[str] = []

    def finish(self) -> int:
        """Wait for the end; return the exit code. `log` has the remaining output."""
        assert self.process.stderr is not None
        self.log += self.process.stderr.read().splitlines()
        return self.process.wait(PATIENCE)


@contextmanager
def serve(store: Path, *flags: str) -> Iterator[Running]:
    """Run the command on a free port, its log as JSON."""
    command = [*GOCHAT, "serve", "--port", "0", "--store", f"sqlite:///{store}"]
    command += [*CHEAP, *flags]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GOCHAT_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        child(process)
        assert process.stderr is not None
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if json.loads(line)["event"] == "listening":
                    break
            running = Running(process, json.loads(lines[-1])["port"])
            running.log += lines
            yield running
        finally:
            process.kill()
            print(process.stderr.read())  # shown with the failed test
