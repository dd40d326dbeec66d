"""The tests' fork server: its forks are what a command that is executed would be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import child
from patience import PATIENCE

if sys.platform != "linux":
    pytest.skip("forks are for Linux", allow_module_level=True)
from fork_server import ForkingPopen, ForkServer, ForkServerDied

GOCHAT = [sys.executable, "-m", "gochat"]
#: The same, executed: what has an option for the interpreter is not forked.
EXECUTED = [sys.executable, "-P", "-m", "gochat"]


@pytest.fixture(autouse=True, scope="module")
def _forking() -> Iterator[None]:
    """Fork here also while the coverage is measured, when the other tests don't."""
    server = ForkServer({**os.environ})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForkingPopen, "fork_server", server, raising=False)
        patch.setattr(subprocess, "Popen", ForkingPopen)
        yield
    server.close()


@pytest.mark.parametrize(
    "arguments", [["--version"], ["serve", "--help"], ["status", "--port=1"], ["nothing"]]
)
def test_a_fork_says_and_returns_what_an_executed_command_does(arguments: list[str]) -> None:
    forked, executed = (
        subprocess.run(
            [*command, *arguments], env={**os.environ, "COLUMNS": "70"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )
        for command in (GOCHAT, EXECUTED)
    )  # fmt: skip
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        *(executed.returncode, executed.stdout, executed.stderr),
    )


def test_a_fork_has_its_own_process_folder_files_and_limits(tmp_path: Path) -> None:
    (tmp_path / "gochat.toml").write_text("port = 0\nstore = 'sqlite:///here.db'\n")
    with (
        socket.socket(),  # nothing of the tests is open in a fork
        subprocess.Popen(
            [*GOCHAT, "serve", "--config=gochat.toml"],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        child(process)
        assert process.stderr is not None
        assert any('"listening"' in line for line in process.stderr)
        assert isinstance(process, ForkingPopen)
        forker = process.fork_server._process
        assert forker is not None
        place = Path(f"/proc/{process.pid}")
        assert (place / "status").read_text().split("PPid:")[1].split()[0] == str(forker.pid)
        assert os.getsid(process.pid) == process.pid
        assert (tmp_path / "here.db").exists()
        links, ours = (
            {str(path.readlink()) for path in folder.iterdir() if path.is_symlink()}
            for folder in (place / "fd", Path("/proc/self/fd"))  # ours lists itself, too
        )
        assert {link for link in links & ours if "socket" in link} == set()
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    with subprocess.Popen([*GOCHAT, "serve", "--port=0"], cwd=tmp_path) as killed:
        killed.kill()
    assert killed.returncode == -signal.SIGKILL


def test_a_dead_fork_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ForkServer({**os.environ})
    monkeypatch.setattr(ForkingPopen, "fork_server", server)
    process = subprocess.Popen(
        [*GOCHAT, "serve", "--port=0", "--store=nothing:"], stdin=subprocess.DEVNULL
    )
    process.wait(PATIENCE)
    assert server._process is not None
    server._process.kill()
    server._process.wait()
    with pytest.raises(ForkServerDied):
        subprocess.Popen([*GOCHAT, "--version"])
    server.close()
