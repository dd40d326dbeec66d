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
from fork_door import ForkServerDied
from fork_server import ForkingPopen, ForkServer, shell_command

GOCHAT = [sys.executable, "-m", "gochat"]
#: The same, executed: what has an option for the interpreter is not forked.
EXECUTED = [sys.executable, "-P", "-m", "gochat"]


@pytest.fixture(autouse=True, scope="module")
def server() -> Iterator[ForkServer]:
    """Fork here also while the coverage is measured, when the other tests don't."""
    server = ForkServer({**os.environ})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForkingPopen, "find_door", lambda: server.door, raising=False)
        patch.setattr(subprocess, "Popen", ForkingPopen)
        yield server
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


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("PPid:")[1].split()[0])


def test_a_fork_has_its_own_process_folder_files_and_limits(
    tmp_path: Path, server: ForkServer
) -> None:
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
        assert server._process is not None
        place = Path(f"/proc/{process.pid}")
        assert parent(process.pid) == server._process.pid
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


RUN = str(Path(__file__).parent / "support" / "run_code.py")


def test_a_fork_has_the_descriptors_that_it_is_given_and_no_others() -> None:
    code = (
        "import os, sys\n"
        "for number in sys.argv[1:]: os.write(int(number), number.encode())\n"
        "there = [int(name) for name in os.listdir('/proc/self/fd')]\n"
        "print(sorted(n for n in there if os.path.exists(f'/proc/self/fd/{n}')))\n"
    )
    readers, writers = zip(*(os.pipe() for _ in range(3)), strict=True)
    given = [writers[2], writers[0]]
    with subprocess.Popen(
        [sys.executable, RUN, code, *map(str, given)], pass_fds=given, stdout=subprocess.PIPE
    ) as process:
        assert isinstance(process, ForkingPopen)
        assert process._status is not None
        printed, _ = process.communicate(timeout=PATIENCE)
    for descriptor in writers:
        os.close(descriptor)
    assert [os.read(reader, 64) for reader in readers] == [
        b"%d" % writers[0], b"", b"%d" % writers[2],
    ]  # fmt: skip
    assert printed.decode() == f"{[0, 1, 2, *sorted(given)]}\n"
    for descriptor in readers:
        os.close(descriptor)


def test_a_fork_has_the_time_zone_of_its_environment_and_one_of_another_python_is_executed() -> (
    None
):
    code = "import os, sys, time; print(time.tzname[0], sys.flags.hash_randomization, os.getppid())"
    parents = set()
    for more in ({"TZ": "XYZ-1"}, {"TZ": "ABC-2"}, {"TZ": "XYZ-1", "PYTHONHASHSEED": "0"}):
        printed = subprocess.run(
            [sys.executable, RUN, code], env={**os.environ, **more}, capture_output=True, text=True,
            timeout=PATIENCE, check=True,
        ).stdout.split()  # fmt: skip
        assert printed[0] == more["TZ"].partition("-")[0]
        assert printed[1] == ("0" if "PYTHONHASHSEED" in more else "1")
        parents.add((int(printed[2]) == os.getpid(), "PYTHONHASHSEED" in more))
    assert parents == {(False, False), (True, True)}


def test_forks_draw_random_numbers_of_their_own() -> None:
    code = "import random; from gochat.chat import drafts; print(random.random(), drafts._PROCESS)"
    drawn = [
        subprocess.run([sys.executable, RUN, code], capture_output=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert all(len(of_one) == 2 for of_one in drawn)
    assert not set(drawn[0]) & set(drawn[1])


def test_what_a_fork_starts_is_forked(server: ForkServer) -> None:
    code = (
        "import subprocess, sys\n"
        "if len(sys.argv) > 1: sys.stdin.read()\n"
        "else:\n"
        "    child = subprocess.Popen([*sys.orig_argv, 'child'])\n"
        "    print(child.pid, flush=True)\n"
        "    sys.exit(child.wait())\n"
    )
    with subprocess.Popen(
        [sys.executable, RUN, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert server._process is not None
        assert parent(int(process.stdout.readline())) == server._process.pid
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_a_shell_gets_a_fork_for_which_a_process_stands(tmp_path: Path, server: ForkServer) -> None:
    assert server._process is not None
    gochat = shell_command()
    done = subprocess.run(
        ["sh", "-c", f"{gochat} status --port=1 || echo code $?; {gochat} nothing"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout == "code 1\n"
    assert "nothing" in done.stderr
    assert done.returncode == 2
    command = f"exec {gochat} serve --port=0 --store=sqlite:///{tmp_path}/chat.db"
    for how, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with subprocess.Popen(["sh", "-c", command], stderr=subprocess.PIPE, text=True) as process:
            child(process)
            assert process.stderr is not None
            assert any('"listening"' in line for line in process.stderr)
            process.send_signal(how)
            process.stderr.read()  # to its end: also when the one that stands for it is killed
            assert process.wait(PATIENCE) == code


def test_a_dead_fork_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ForkServer({**os.environ})
    monkeypatch.setattr(ForkingPopen, "find_door", lambda: server.door)
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
