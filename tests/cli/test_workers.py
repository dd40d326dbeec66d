"""`gochat serve --workers`: several supervised processes on one port."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from children import child
from http_peer import get
from msgspec import structs
from patience import PATIENCE, eventually, until
from peers import LIMITS, Peer
from processes import GOCHAT
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.cli import CORRUPT, signals
from gochat.config import Config, Listen
from gochat.errors import ConfigError
from gochat.protocol.messages import Bye, Send, Sent
from gochat.server import workers

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows can't share a port"),
]

COUNT = 3
#: As the installed program starts, which does not import from the current directory.
INSTALLED = [sys.executable, "-P", "-m", "gochat"]


class Supervised:
    """A supervisor, its workers, and their common log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = 0
        self.pids: dict[int, int] = {}
        self.log: list[dict[str, Any]] = []

    def read_until(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read the log until a line satisfies the condition."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            event: dict[str, Any] = json.loads(line)
            self.log.append(event)
            if event["event"] == "worker ready":
                self.pids[event["worker"]] = event["pid"]
            if event["event"] == "listening" and "port" in event:
                self.port = event["port"]
            if enough(event):
                return event
        raise AssertionError(f"the log ended: {self.log}")

    async def wait_for(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        with trio.fail_after(PATIENCE):
            return await trio.to_thread.run_sync(self.read_until, enough, abandon_on_cancel=True)

    def finish(self) -> int:
        """Wait for the end; return the exit code. `log` has the remaining output."""
        assert self.process.stderr is not None
        self.log += [json.loads(line) for line in self.process.stderr]
        return self.process.wait(PATIENCE)


@contextmanager
def supervised(
    nodes: Nodes,
    *flags: str,
    ready: int = COUNT,
    command: Sequence[str] = GOCHAT,
    port: int | None = 0,
    pass_fds: Sequence[int] = (),
) -> Iterator[Supervised]:
    """Run the command with workers; wait until all, or a given number, are ready."""
    limits = [f"--set=limits.{key}={getattr(LIMITS, key)}" for key in ("argon2_memory", "burst")]
    with_store = [*command, "serve", f"--workers={COUNT}", f"--store={nodes.url()}"]
    with_store += [] if port is None else [f"--port={port}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GOCHAT_")}
    with subprocess.Popen(
        [*with_store, *limits, *flags],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        pass_fds=pass_fds,
    ) as process:
        running = Supervised(child(process))
        try:
            running.read_until(lambda _: len(running.pids) == ready)
            yield running
        finally:
            process.kill()


@pytest.fixture
def nodes(redis_server: RedisServer) -> Nodes:
    """Nodes with their own data."""
    return Nodes(redis_server)


def errors(output: bytes) -> list[str]:
    """Return a command's output other than its log."""
    return [line for line in output.decode().splitlines() if line.startswith("gochat: ")]


async def connected(running: Supervised) -> Peer:
    return Peer(await trio.open_tcp_stream("127.0.0.1", running.port))


async def test_workers_share_a_port_and_form_one_chat(nodes: Nodes) -> None:
    with supervised(nodes) as running:
        peers = []
        for number in range(12):
            peer = await connected(running)
            await peer.log_in(f"p{number}")
            peers.append(peer)
        await peers[0].ask(Send(to="#lobby", text="to all"), Sent)
        for peer in peers[1:]:
            assert (await peer.text()).text == "to all"
        running.process.send_signal(signal.SIGTERM)
        for peer in peers:
            bye = (await peer.at_end())[-1]
            assert isinstance(bye, Bye)
            assert bye.reason == "server_closing"
            await peer.stream.aclose()
        assert running.finish() == 0
    who_served = {e["worker"] for e in running.log if e["event"] == "logged in"}
    assert len(who_served) > 1, "the kernel spreads them"
    assert who_served <= {1, 2, 3}


async def test_each_worker_is_monitored_and_systemd_is_notified_once(
    nodes: Nodes, free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers at one port after the other; systemd by the supervisor, whose service it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000000")  # once: nobody reads meanwhile
        port = _ports_in_a_row(free_port)
        with supervised(nodes, f"--set=metrics.port={port}") as running:
            for number in range(COUNT):
                await _is_ready(port + number)
            running.process.send_signal(signal.SIGTERM)
            assert running.finish() == 0
        seen: set[str] = set()
        while "STOPPING=1" not in seen:
            seen.update(manager.recv(4096).decode().splitlines())
    assert {"READY=1", "STATUS=serving with 1 workers", "WATCHDOG=1"} <= seen


def _ports_in_a_row(free_port: Callable[[], int]) -> int:
    """Return the first of as many free ports in a row as there are workers."""
    while True:
        ports = [free_port() for _ in range(COUNT)]
        if ports == [*range(ports[0], ports[0] + COUNT)]:
            return ports[0]


async def _is_ready(port: int) -> None:
    """Wait until it is: on a busy machine Redis may be too slow at first."""

    async def answers() -> bool:
        return (await get(port, "/readyz")).status == 200

    await eventually(answers)


async def test_dead_worker_is_restarted_and_others_do_not_notice(
    nodes: Nodes,
) -> None:
    with supervised(nodes) as running:
        peers = [await connected(running) for _ in range(9)]
        for number, peer in enumerate(peers):
            await peer.log_in(f"p{number}")
        served_by: dict[str, int] = {}
        while len(served_by) < len(peers):
            event = await running.wait_for(lambda e: e["event"] == "logged in")
            served_by[event["name"]] = event["worker"]
        victim = served_by["p0"]
        os.kill(running.pids[victim], signal.SIGKILL)
        died = await running.wait_for(lambda e: e["event"] == "worker died")
        assert (died["worker"], died["code"]) == (victim, -signal.SIGKILL)
        survivors = [p for p in peers if served_by[p.name] != victim]
        await survivors[0].ask(Send(to="#lobby", text="still here"), Sent)
        for peer in survivors[1:]:
            assert (await peer.text(lambda m: m.text == "still here")).from_ == survivors[0].name
        again = await running.wait_for(lambda e: e["event"] == "worker ready")
        assert again["worker"] == victim
        await peers[0].at_end()
        for peer in peers:
            await peer.stream.aclose()
        running.process.send_signal(signal.SIGINT)
        assert running.finish() == 0


async def test_sighup_is_passed_on_and_other_signals_are_harmless(nodes: Nodes) -> None:
    """The signals go to the supervisor, and a worker that is not ready is not harmed either."""
    with supervised(nodes, ready=1) as running:
        for name in ("SIGUSR1", "SIGUSR2", "SIGHUP"):
            running.process.send_signal(getattr(signal, name))
        asked: set[int] = set()
        while len(running.pids) < COUNT or not asked >= {1}:
            event = await running.wait_for(lambda _: True)
            if event["event"] == "configuration unchanged":
                asked.add(event["worker"])
        for pid in running.pids.values():
            os.kill(pid, signal.SIGUSR1)
        asked.clear()
        running.process.send_signal(signal.SIGHUP)
        while asked != {1, 2, 3}:
            event = await running.wait_for(lambda e: e["event"] == "configuration unchanged")
            asked.add(event["worker"])
        peer = await connected(running)
        await peer.log_in("mei")
        await peer.stream.aclose()
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0
    assert not [e for e in running.log if e["event"] == "worker died"]


async def test_workers_end_when_the_supervisor_is_killed(nodes: Nodes) -> None:
    with supervised(nodes) as running:
        running.process.kill()
        running.finish()  # reads until no process has the log open
    assert {e["worker"] for e in running.log if e["event"] == "stopped"} == {1, 2, 3}


async def test_configuration_that_no_worker_can_use_ends_all(nodes: Nodes, tmp_path: Path) -> None:
    result = await trio.run_process(
        [
            *(*GOCHAT, "serve", "--workers=2", "--port=0", f"--store={nodes.url()}"),
            *(f"--tls-cert={tmp_path / 'missing.pem'}", f"--tls-key={tmp_path / 'missing.key'}"),
        ],
        capture_stderr=True,
        check=False,
    )
    assert result.returncode == 2
    (line,) = errors(result.stderr)  # once, not from each worker
    assert "missing.pem" in line


async def test_workers_share_the_port_however_it_was_chosen(nodes: Nodes) -> None:
    with supervised(nodes, "--set=port=0") as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0
    assert len({e["port"] for e in running.log if e["event"] == "listening"}) == 1


async def test_modules_in_the_current_directory_are_not_imported(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trio.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with supervised(nodes, ready=1, command=INSTALLED) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0


async def test_stopping_while_workers_start_is_not_an_error(nodes: Nodes) -> None:
    with supervised(nodes, ready=1) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0
    of_the_store = "Redis append-only file disabled"  # as in the tests' Redis
    assert {e["level"] for e in running.log if e["event"] != of_the_store} == {"info"}


async def test_port_of_other_workers_is_not_shared(nodes: Nodes) -> None:
    with supervised(nodes, ready=1) as running:
        result = await trio.run_process(
            [*GOCHAT, "serve", "--workers=2", f"--port={running.port}", f"--store={nodes.url()}"],
            capture_stderr=True,
            check=False,
        )
        assert result.returncode == 1
        assert "is a server running there already?" in result.stderr.decode()


async def test_port_in_use_is_reported_once(nodes: Nodes) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        result = await trio.run_process(
            [*GOCHAT, "serve", "--workers=2", f"--port={port}", f"--store={nodes.url()}"],
            capture_stderr=True,
            check=False,
        )
    assert result.returncode == 1
    (line,) = errors(result.stderr)
    assert f"can't listen on 127.0.0.1:{port}" in line
    assert "choose another --port" in line


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--workers=2", "--store=sqlite:///x.db"], "a SQLite file serves one process"),
        (["--workers=0", "--store=redis://localhost"], "at least one process"),
    ],
)
async def test_workers_are_refused_where_unsupported(
    tmp_path: Path, flags: list[str], text: str
) -> None:
    result = await trio.run_process(
        [*GOCHAT, "serve", "--port=0", *flags], capture_stderr=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 2
    assert text in result.stderr.decode()
    assert os.listdir(tmp_path) == []  # noqa: PTH208 -- so that it is not taken to wait


async def test_workers_share_several_listeners(
    nodes: Nodes, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """Two ports, and a unix socket, also after one of the workers has died."""
    ports, path = [free_port(), free_port()], tmp_path / "chat.sock"
    config = tmp_path / "server.toml"
    config.write_text(
        "".join(f"[[listen]]\nport = {port}\n" for port in ports) + f"[[listen]]\nunix = '{path}'\n"
    )
    with supervised(nodes, f"--config={config}", port=None) as running:
        peers = [Peer(await trio.open_tcp_stream("127.0.0.1", port)) for port in ports]
        peers += [Peer(await trio.open_unix_socket(path)) for _ in range(9)]
        for number, peer in enumerate(peers):
            await peer.log_in(f"p{number}")
        await peers[0].ask(Send(to="#lobby", text="to all"), Sent)
        for peer in peers[1:]:
            assert (await peer.text()).text == "to all"
        os.kill(running.pids[2], signal.SIGKILL)
        await running.wait_for(lambda e: e["event"] == "worker died")
        await running.wait_for(lambda e: e["event"] == "worker ready")
        peer = Peer(await trio.open_unix_socket(path))
        await peer.log_in("later")
        running.process.send_signal(signal.SIGTERM)
        for one in (*peers, peer):
            await one.at_end()
            await one.stream.aclose()
        assert running.finish() == 0
    assert not path.exists()
    listening = {e.get("path", e.get("port")) for e in running.log if e["event"] == "listening"}
    assert listening == {*ports, str(path)}


async def test_workers_share_the_sockets_of_systemd(nodes: Nodes, tmp_path: Path) -> None:
    """They take the place of `host` and `port`, as in a server of one process."""
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
        "os.environ['LISTEN_FDS'] = '1'; os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    )
    with socket.create_server(("127.0.0.1", 0)) as handed_over:
        os.set_inheritable(handed_over.fileno(), True)
        number = str(handed_over.fileno())
        command = [sys.executable, "-c", code, number, *GOCHAT[1:]]
        fds = [handed_over.fileno()]
        with supervised(nodes, command=command, port=None, pass_fds=fds) as running:
            assert running.port == handed_over.getsockname()[1]
            peers = [await connected(running) for _ in range(6)]
            for place, peer in enumerate(peers):
                await peer.log_in(f"p{place}")
            for peer in peers:
                await peer.stream.aclose()
            running.process.send_signal(signal.SIGTERM)
            assert running.finish() == 0


async def test_workers_cannot_share_a_port_that_each_would_choose() -> None:
    config = Config(store="redis://localhost", listen=(Listen(unix="x"), Listen(port=0)))
    with pytest.raises(ConfigError, match="port 0"):
        workers.check(config)
    workers.check(structs.replace(config, listen=config.listen[:1]))


async def test_port_of_a_listener_that_is_in_use_is_reported_once(
    nodes: Nodes, free_port: Callable[[], int], tmp_path: Path
) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    config = tmp_path / "server.toml"
    async with listener:
        port = listener.socket.getsockname()[1]
        path = tmp_path / "chat.sock"
        config.write_text(
            f"[[listen]]\nunix = '{path}'\n[[listen]]\nport = {free_port()}\n"
            f"[[listen]]\nport = {port}\n"
        )
        result = await trio.run_process(
            [*GOCHAT, "serve", "--workers=2", f"--config={config}", f"--store={nodes.url()}"],
            capture_stderr=True,
            check=False,
        )
    assert result.returncode == 1
    (line,) = errors(result.stderr)
    assert f"can't listen on 127.0.0.1:{port}" in line
    assert not path.exists()


# -- the supervisor, with workers that are not servers --------------------------------------------

READY = "print('ready', flush=True);"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def supervise(command: list[str], count: int, stop: trio.Event) -> int:
    with trio.fail_after(PATIENCE):
        _, reloads = trio.open_memory_channel[None](1)
        return await workers.supervise(
            command, count, stop=stop, reloads=reloads, drain_timeout=0, final_code=CORRUPT
        )


async def until_logged(logged: list[Any], event: str, times: int) -> list[Any]:
    def found() -> list[Any]:
        return [e for e in logged if e["event"] == event]

    await until(lambda: len(found()) >= times)
    return found()


async def test_worker_that_dies_at_once_is_restarted_with_backoff(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(workers, "LONGEST_PAUSE", 0.04)
    stop = trio.Event()
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, python(READY + "import sys; sys.exit(4)"), 1, stop)
            died = await until_logged(logged, "worker died", 4)
            stop.set()
    assert [(e["code"], e["again_in"]) for e in died[:4]] == [
        (4, 0.01),
        (4, 0.02),
        (4, 0.04),
        (4, 0.04),
    ]


async def test_worker_that_ran_for_long_is_restarted_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(workers, "GOOD_LIFE", 0.0)
    stop = trio.Event()
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, python(READY), 1, stop)
            died = await until_logged(logged, "worker died", 3)
            stop.set()
    assert {e["again_in"] for e in died} == {0.01}


async def test_worker_that_finds_damage_ends_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second worker finds it; nobody restarts it, and the others are stopped."""
    monkeypatch.setattr(workers, "FIRST_PAUSE", 0.01)
    starts = tmp_path / "starts"
    code = (
        f"{READY}\nimport os, sys, time; open({str(starts)!r}, 'a').write('x')\n"
        "if os.environ['GOCHAT_WORKER'] == '2': sys.exit(3)\n"
        "time.sleep(1000)"
    )
    assert await supervise(python(code), 3, trio.Event()) == CORRUPT
    assert len(starts.read_text()) <= 3


async def test_only_the_first_worker_is_started_if_it_fails(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    code = f"import sys; open({str(tries)!r}, 'a').write('x'); sys.exit(3)"
    assert await supervise(python(code), 3, trio.Event()) == 3
    assert tries.read_text() == "x"


async def test_command_that_cannot_be_run_is_fatal_only_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE", 0.01)
    program = tmp_path / "program"
    assert await supervise([str(program)], 2, trio.Event()) == 1
    program.write_text(f"#!{sys.executable}\nimport os\nos.remove(__file__)\n{READY}")
    program.chmod(0o700)
    stop = trio.Event()
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, [str(program)], 1, stop)
            await until_logged(logged, "worker start failed", 2)
            stop.set()


async def test_worker_that_is_starting_is_stopped_with_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "GRACE", 1000)
    stop = trio.Event()
    stop.set()
    assert await supervise(python(READY + "import time; time.sleep(1000)"), 1, stop) == 0


async def test_worker_that_never_gets_ready_does_not_delay_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "GRACE", 0.1)
    stop = trio.Event()
    stop.set()
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited by children
    try:
        assert await supervise(python("import time; time.sleep(1000)"), 1, stop) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_worker_signalled_twice_still_drains() -> None:
    told, done = trio.Event(), trio.Event()

    async def work(stop: trio.Event, _: object) -> int:
        await stop.wait()
        told.set()
        await done.wait()
        return 7

    code = 0

    async def run() -> None:
        nonlocal code
        code = await signals.until_signalled(work, twice_is_at_once=False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGTERM)
        await told.wait()
        signal.raise_signal(signal.SIGTERM)
        await trio.testing.wait_all_tasks_blocked()
        done.set()
    assert code == 7


async def test_unsupported_address_family_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))
    absent = (socket.AF_INET, socket.SOCK_STREAM, 250, "", ("127.0.0.1", 0))
    real = socket.socket

    def make(family: int, kind: int, protocol: int = 0) -> socket.socket:
        if protocol == 250:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        return real(family, kind, protocol)

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [absent, here])
    monkeypatch.setattr(socket, "socket", make)
    reserved, port = workers.reserve_port("both.example", 0)
    with reserved:
        assert reserved.getsockname() == ("127.0.0.1", port)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [absent])
    with pytest.raises(ConfigError, match=r"can't listen on both\.example:0"):
        workers.reserve_port("both.example", 0)
