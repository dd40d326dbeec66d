"""``gochat chat``: the app, and a server for it if none of this user's runs here yet.

The server that it starts ends when the app ends, however that happens
(:mod:`gochat.cli.companion`). Anyone on the machine may have started what listens on the port, so
nothing is sent to a server before it has proved to be this user's (:mod:`gochat.protocol.proof`).
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gochat.client.address import Address

#: The address at which this machine reaches a server that listens on many addresses.
_REACHED_AT: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - any
#: Seconds within which a running server must answer, and a new one must be ready: enough to create
#: the store on a slow disk, and to start Python on a slow machine.
ANSWER_TIMEOUT: Final = 5.0
START_TIMEOUT: Final = 30.0
#: Seconds that the server gets to stop: its own drain, and some more.
STOP_TIMEOUT: Final = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--port", type=int, help="port of the server (default: as configured, 8889)"
    )
    parser.add_argument("--store", metavar="URL", help="store of the server, if it is started")
    parser.add_argument("--config", metavar="PATH", type=Path, help="configuration of the server")
    parser.add_argument(
        "--language",
        metavar="LANGUAGE",
        default="",
        help="language of the app, as zh_CN or en (default: as configured, else the system's)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the app on this user's server on this machine.

    Raises:
        GochatError: the server can't be started, or something else uses its port.
        ConfigError: as `gochat serve` would.
        StoreCorrupt: the server that was started found its store damaged and stopped.
    """
    from gochat.cli import tui
    from gochat.client.address import Address
    from gochat.config import load_config

    config = load_config(args.config, flags={"port": args.port, "store": args.store})
    flags = ["--port", str(config.port)]
    if args.store is not None:
        flags += ["--store", args.store]
    if args.config is not None:
        flags += ["--config", str(args.config)]
    parser = argparse.ArgumentParser()
    tui.add_arguments(parser)
    host = _REACHED_AT.get(config.host, config.host)
    server = Address(host, config.port, bool(config.tls.cert), _key_file(config.port))
    with running_server(server, flags) as has_made_store:
        if has_made_store:
            where = config.store_url.removeprefix("sqlite:///").partition("?")[0]
            print(f"gochat: starting a new chat in {where}", file=sys.stderr)
        return tui.run(parser.parse_args([server.url, "--language", args.language]))


@contextmanager
def running_server(server: Address, flags: list[str]) -> Iterator[bool]:
    """Ensure that this user's server runs at `server`: use the running one, or start one with
    `flags`.

    Yields whether the started server created a new store. On leaving, a started server is stopped.

    Raises:
        GochatError: it can't be started, or something else uses the port; nothing was sent to it.
        StoreCorrupt: (on leaving) the server that was started found its store damaged and stopped.
    """
    from gochat import private
    from gochat.cli import CORRUPT
    from gochat.errors import GochatError, StoreCorrupt

    log = _log_path(server.port)
    assert server.key_file is not None
    for directory in (server.key_file.parent, log.parent):
        if private.make_directory(directory):
            print(
                f"gochat: {directory} was open to other users: now only you can use it",
                file=sys.stderr,
            )
    doubt = why_not_own(server)
    if not doubt:
        yield False
        return
    if _is_taken(server):
        doubt = f" ({doubt})" if server.key_file.exists() else ""
        raise GochatError(
            f"port {server.port} is in use, but what answers there did not prove to be your own "
            f"server, so nothing was sent to it{doubt}. If it is a gochat serve that you started, "
            "end it: gochat chat starts the server by itself. If you trust it, connect with: "
            f"gochat tui {server}. For a server of your own choose another port: gochat chat "
            f"--port {server.port % 65535 + 1}"
        )
    # Append, even after emptying it: a previous server may still be writing to it.
    opened = private.open_file(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, follow=False)
    with open(opened, "ab") as output:  # noqa: PTH123 - a descriptor
        output.truncate(0)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                *(sys.executable, "-m", "gochat.cli.companion", "serve"),
                # The person is looking at an empty terminal: report at once that Redis is down.
                "--set=store_wait=0",
                f"--set=key_file={server.key_file}",
                *flags,
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl+C in the terminal is for the app.
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, server, log)
        yield "store created" in log.read_text(encoding="utf-8", errors="replace")
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode == CORRUPT:
        raise StoreCorrupt(f"the server ended meanwhile: {_last_words(log)} (its log: {log})")


def why_not_own(server: Address) -> str:
    """Return why the program listening there can't be proved to be this user's server; empty if it
    can.

    Sends it nothing but a random challenge.
    """
    import ssl

    import anyio

    from gochat.client.connection import NullReceiver, open_connection
    from gochat.client.options import InternalOptions
    from gochat.errors import ConnectionLost

    context = ssl.create_default_context()
    context.check_hostname = False  # the key identifies it; the app checks the certificate, too
    context.verify_mode = ssl.CERT_NONE
    options = InternalOptions(connect_timeout=ANSWER_TIMEOUT, request_timeout=ANSWER_TIMEOUT)

    async def connect() -> None:
        async with open_connection(server, context, NullReceiver(), options):
            pass

    try:
        anyio.run(connect)
    except ConnectionLost as error:
        return str(error)
    return ""


def _is_taken(server: Address) -> bool:
    """Return whether something listens there. Sends nothing."""
    try:
        socket.create_connection((server.host, server.port), ANSWER_TIMEOUT).close()
    except TimeoutError:
        return True
    except OSError:  # nothing does; or the server will report what is wrong with the address
        return False
    return True


def _wait_until_ready(process: subprocess.Popen[bytes], server: Address, log: Path) -> None:
    from gochat.errors import GochatError

    deadline = time.monotonic() + START_TIMEOUT
    while why_not_own(server):
        if process.poll() is not None:
            why = _last_words(log) or f"exit code {process.returncode}"
            raise GochatError(f"the server did not start: {why} (its log: {log})")
        if time.monotonic() > deadline:
            raise GochatError(
                f"the server is not ready after {START_TIMEOUT:.0f} s; its log: {log}"
            )
        time.sleep(0.05)


def _last_words(log: Path) -> str:
    """Return the last line that a server logged before it ended; empty if there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("gochat: ") if lines else ""


def _log_path(port: int) -> Path:
    import platformdirs

    return platformdirs.user_log_path("gochat", appauthor=False) / f"server-{port}.log"


def _key_file(port: int) -> Path:
    import platformdirs

    return platformdirs.user_state_path("gochat", appauthor=False) / f"server-{port}.key"
