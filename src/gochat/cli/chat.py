"""``gochat chat``: the app, and a server for it if none runs here yet.

The server that it starts belongs to it: it ends when the app ends, however that happens
(:mod:`gochat.cli.companion`).
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Where this machine reaches a server that listens on many addresses.
_REACHED_AT: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - any
#: Seconds within which a server that runs must answer, and a new one must be ready: creating the
#: store on a slow disk, starting Python on a slow machine.
ANSWER_TIMEOUT: Final = 5.0
START_TIMEOUT: Final = 30.0
#: Seconds that an ending server gets: its own drain, and some.
STOP_TIMEOUT: Final = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--port", type=int, help="port of the server (default: as configured, 8889)"
    )
    parser.add_argument("--store", metavar="URL", help="store of the server, if it is started")
    parser.add_argument("--config", metavar="PATH", type=Path, help="configuration of the server")


def run(args: argparse.Namespace) -> int:
    """Run the app on the server of this machine.

    Raises:
        GochatError: the server can't be started, or something else has its port.
        ConfigError: as `gochat serve` would.
        StoreCorrupt: the server that was started has met damage in its store and stopped.
    """
    from gochat.cli import tui
    from gochat.config import load_config

    config = load_config(args.config, flags={"port": args.port, "store": args.store})
    host = _REACHED_AT.get(config.host, config.host)
    is_encrypted = bool(config.tls.cert)
    flags = ["--port", str(config.port)]
    if args.store is not None:
        flags += ["--store", args.store]
    if args.config is not None:
        flags += ["--config", str(args.config)]
    parser = argparse.ArgumentParser()
    tui.add_arguments(parser)
    shown_host = f"[{host}]" if ":" in host else host
    url = f"{'gochats' if is_encrypted else 'gochat'}://{shown_host}:{config.port}"
    with running_server(host, config.port, flags, is_encrypted=is_encrypted) as has_made_store:
        if has_made_store:
            where = config.store_url.removeprefix("sqlite:///").partition("?")[0]
            print(f"gochat: a new chat begins, in {where}", file=sys.stderr)
        return tui.run(parser.parse_args([url]))


@contextmanager
def running_server(
    host: str, port: int, flags: list[str], *, is_encrypted: bool = False
) -> Iterator[bool]:
    """Have a server answer on `host` and `port`: the one that does, or one started with `flags`.

    Yields whether that one found no store where it looked for one, and made it.

    Raises:
        GochatError: it can't be started, or something else has the port.
        StoreCorrupt: (on leaving) the one that was started has met damage in its store and stopped.
    """
    from gochat.cli import CORRUPT
    from gochat.errors import StoreCorrupt

    if answers(host, port, is_encrypted=is_encrypted):
        yield False
        return
    log = _log_path(port)
    log.parent.mkdir(parents=True, exist_ok=True)
    # Appending, also after emptying it: a server before this one may still have a last word.
    with log.open("ab") as output:
        output.truncate(0)
        server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # Somebody looks at an empty terminal: they learn at once that Redis is not up.
            [sys.executable, "-m", "gochat.cli.companion", "serve", "--set=store_wait=0", *flags],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl+C in the terminal is for the app.
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, host, port, log, is_encrypted=is_encrypted)
        yield "store created" in log.read_text(encoding="utf-8", errors="replace")
    finally:
        assert server.stdin is not None
        server.stdin.close()
        try:
            server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    if server.returncode == CORRUPT:
        raise StoreCorrupt(f"the server ended meanwhile: {_last_words(log)} (its log: {log})")


def answers(host: str, port: int, *, is_encrypted: bool = False) -> bool:
    """Return whether a gochat server answers a ping there; False if nothing listens.

    Raises:
        GochatError: something else listens there, or a server that is frozen.
    """
    import ssl

    from gochat.errors import GochatError, ProtocolError
    from gochat.protocol.codec import decode_server_message, encode
    from gochat.protocol.framing import FrameDecoder
    from gochat.protocol.messages import Ping

    stranger = GochatError(
        f"port {port} is in use, but no gochat server answers there; "
        "end what uses it, or choose another port with --port"
    )
    try:
        connection = socket.create_connection((host, port), ANSWER_TIMEOUT)
    except ConnectionRefusedError:
        return False
    except TimeoutError:
        raise stranger from None
    with connection:
        try:
            if is_encrypted:
                context = ssl.create_default_context()
                context.check_hostname = False  # who it is, the app will check
                context.verify_mode = ssl.CERT_NONE
                connection = context.wrap_socket(connection)
            connection.sendall(encode(Ping()))
            decoder = FrameDecoder()
            while (body := decoder.next_frame()) is None:
                data = connection.recv(4096)
                if not data:
                    raise stranger
                decoder.receive_data(data)
            decode_server_message(body)  # a pong, or a bye because it is full or closing
        except (OSError, ProtocolError):
            raise stranger from None
        finally:
            connection.close()  # the wrapped one is another object
    return True


def _wait_until_ready(
    server: subprocess.Popen[bytes], host: str, port: int, log: Path, *, is_encrypted: bool
) -> None:
    from gochat.errors import GochatError

    deadline = time.monotonic() + START_TIMEOUT
    while not answers(host, port, is_encrypted=is_encrypted):
        if server.poll() is not None:
            why = _last_words(log) or f"exit code {server.returncode}"
            raise GochatError(f"the server did not start: {why} (its log: {log})")
        if time.monotonic() > deadline:
            raise GochatError(
                f"the server is not ready after {START_TIMEOUT:.0f} s; its log: {log}"
            )
        time.sleep(0.05)


def _last_words(log: Path) -> str:
    """What a server said before it ended; empty if it said nothing."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("gochat: ") if lines else ""


def _log_path(port: int) -> Path:
    import platformdirs

    return platformdirs.user_log_path("gochat", appauthor=False) / f"server-{port}.log"
