"""How a server handles signals that don't end it, and the loss of its terminal."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from patience import until
from peers import Peer
from processes import GOCHAT, Running, serve

from gochat.protocol.messages import Send, Sent

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send"),
]


def read_until(running: Running, event: str) -> dict[str, Any]:
    """Read the log until an event; return its line."""
    assert running.process.stderr is not None
    for text in running.process.stderr:
        running.log.append(text)
        line: dict[str, Any] = json.loads(text)
        if line["event"] == event:
            return line
    raise AssertionError(f"the log ended: {running.log}")


def certified(path: Path, expires: datetime) -> ssl.SSLContext:
    """Write a certificate with its key to `path`; return a context that trusts only this one."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", not_after=expires)
    partial = path.with_suffix(".new")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(partial))
    partial.replace(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def speak(port: int, trust: ssl.SSLContext, name: str) -> AsyncIterator[Peer]:
    async with await trio.open_ssl_over_tcp_stream(
        "127.0.0.1", port, ssl_context=trust, https_compatible=True
    ) as stream:
        peer = Peer(stream)
        await peer.log_in(name)
        yield peer


async def test_sighup_reloads_the_certificate_unless_it_is_bad(
    tmp_path: Path,
) -> None:
    pem = tmp_path / "both.pem"
    old = certified(pem, datetime(2049, 12, 31, 12, 0, tzinfo=UTC))
    flags = ["--tls-cert", str(pem), "--tls-key", str(pem)]
    with serve(tmp_path / "chat.db", *flags) as running:
        assert read_until(running, "certificate loaded")["expires"] == "2049-12-31T12:00:00Z"
        async with speak(running.port, old, "mei") as mei:
            pem.write_text("not a certificate")
            running.process.send_signal(signal.SIGHUP)
            line = read_until(running, "certificate reload failed")
            assert line["level"] == "error"
            assert str(pem) in line["reason"]
            assert "SIGHUP" in line["advice"]
            async with speak(running.port, old, "bob"):
                pass

            # From 2050 on a certificate's times have another format.
            new = certified(pem, datetime(2050, 1, 2, 3, 4, 5, tzinfo=UTC))
            running.process.send_signal(signal.SIGHUP)
            assert read_until(running, "certificate reloaded")["expires"] == "2050-01-02T03:04:05Z"
            with pytest.raises(trio.BrokenResourceError):
                async with speak(running.port, old, "nobody"):
                    pass
            async with speak(running.port, new, "eve") as eve:
                await mei.ask(Send(to="#lobby", text="from old to new"), Sent)
                assert (await eve.text()).text == "from old to new"
        running.process.terminate()
        assert running.finish() == 0


async def test_key_with_a_passphrase_is_refused_without_asking(tmp_path: Path) -> None:
    """Even on reload: a server that prompts would block."""
    pem, key = tmp_path / "both.pem", tmp_path / "locked.pem"
    trust = certified(pem, datetime(2049, 1, 1, tzinfo=UTC))
    key.write_bytes(pem.read_bytes())
    flags = ["--tls-cert", str(pem), "--tls-key", str(key)]
    with serve(tmp_path / "chat.db", *flags) as running:
        key.write_bytes(
            load_pem_private_key(pem.read_bytes(), None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        running.process.send_signal(signal.SIGHUP)
        assert "passphrase" in read_until(running, "certificate reload failed")["reason"]
        async with speak(running.port, trust, "mei"):
            pass
        running.process.terminate()
        assert running.finish() == 0
    done = await trio.run_process(
        [*GOCHAT, "serve", "--port=0", *flags], capture_stderr=True, check=False
    )
    assert done.returncode == 2
    assert b"passphrase" in done.stderr


async def test_sighup_without_changes_changes_nothing(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        for name in ("SIGUSR1", "SIGUSR2", "SIGHUP"):
            running.process.send_signal(getattr(signal, name))
            async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
                await Peer(stream).log_in("mei")
        read_until(running, "configuration unchanged")
        running.process.terminate()
        assert running.finish() == 0


# -- terminals ------------------------------------------------------------------------------------

#: Starts its arguments in a terminal of their own, prints their process id, and waits.
TERMINAL = """
import os, pty, sys
pid, master = pty.fork()
if not pid:
    if sys.argv[1] == "nohup":
        import signal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    os.execv(sys.argv[3], sys.argv[3:])
print(pid, flush=True)
sys.stdin.read()
"""


def lines(log: Path) -> list[dict[str, Any]]:
    # The last line may be incomplete.
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if "\n" in line]


@contextmanager
def terminal(how: str, log: Path, *command: str) -> Iterator[int]:
    """Run a command in a terminal that goes away at the end; yield its process id."""
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, how, str(log), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@pytest.mark.parametrize("how", ["plain", "nohup"])
async def test_server_stops_with_the_terminal_it_was_started_in(tmp_path: Path, how: str) -> None:
    """Unless it is under nohup. SIGHUP reloads as usual while the terminal is there."""
    log = tmp_path / "log"
    command = [*GOCHAT, "serve", "--port=0", f"--store=sqlite:///{tmp_path / 'chat.db'}"]
    with terminal(how, log, *command, "--log-format=json") as pid:

        def logged(event: str) -> bool:
            return log.exists() and any(line["event"] == event for line in lines(log))

        await until(lambda: logged("listening"))
        os.kill(pid, signal.SIGHUP)
        await until(lambda: logged("configuration unchanged"))
    if how == "nohup":
        await until(lambda: sum(e["event"] == "configuration unchanged" for e in lines(log)) == 2)
        assert not logged("stopping")
        os.kill(pid, signal.SIGTERM)
    await until(lambda: logged("stopped"))
