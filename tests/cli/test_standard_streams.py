"""A server with closed standard streams: files opened later must not take their place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import PATIENCE, wait_for
from processes import GOCHAT

from gochat.cli.chat import why_not_own
from gochat.client.address import Address

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell")


def test_closed_standard_streams_are_connected_to_the_null_device(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Otherwise tracebacks of this process and its children would go to the database."""
    port, key_file = free_port(), tmp_path / "key"
    command = [*GOCHAT, "serve", "--port", str(port), "--store", f"sqlite:///{tmp_path / 'db'}"]
    command += ["--set", f"key_file={key_file}"]
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    try:
        server = Address("127.0.0.1", port, tls=False, key_file=key_file)
        wait_for(lambda: process.poll() is not None or not why_not_own(server), "the start")
        assert process.poll() is None
        for descriptor in ("0", "1", "2"):
            opened = Path(f"/proc/{process.pid}/fd/{descriptor}")
            assert not opened.parent.exists() or str(opened.readlink()) == os.devnull
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_output_that_nobody_reads_any_more_is_not_an_error(tmp_path: Path) -> None:
    """As of ``gochat status | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [*GOCHAT, "check-config", "--set", f"store=sqlite:///{tmp_path / 'db'}"]
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")
