"""``gochat check``: log in, write and log out as a person does, to see whether that works.

A server whose store is dead still answers ``ping``. This check uses the store: the login writes a
token, the message goes to the log.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gochat.client.address import Address

#: The variable that may hold the password instead of a file.
VARIABLE: Final = "GOCHAT_CHECK_PASSWORD"
#: The same for each check, so that the first one writes a message and all others are its retries:
#: a check every minute must not fill a log.
CID: Final = "gochat-check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "url",
        metavar="URL",
        help="the server: host:port (TLS, unless it is this machine), or gochat://host:port for "
        "plain text",
    )
    parser.add_argument(
        "--name", default="monitor", help="account to log in with (default: monitor)"
    )
    parser.add_argument(
        "--password-file",
        metavar="PATH",
        type=Path,
        help=f"file with its password in the first line (default: {VARIABLE})",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=10.0,
        help="for all of it (default: 10)",
    )


def run(args: argparse.Namespace) -> int:
    """Check once; print how long it took and return 0.

    Raises:
        ConfigError: the address is invalid, or no password was given.
        ConnectionLost: the server can't be reached, or did not answer in time.
        ChatError: it refused the login or the message.
    """
    import anyio

    from gochat.client import address as addresses
    from gochat.errors import ConnectionLost

    address = addresses.parse(args.url)
    if address.security is addresses.Security.PLAIN_TEXT:
        print(f"gochat: warning: {addresses.plain_text_warning(address)}", file=sys.stderr)
    password = _password(args.password_file)
    began = time.monotonic()

    async def check() -> None:
        try:
            with anyio.fail_after(args.timeout):
                await _log_in_and_write(address, args.name, password)
        except TimeoutError:
            raise ConnectionLost(
                f"{address} did not let {args.name} log in and write within {args.timeout:g} s"
            ) from None

    anyio.run(check, backend="trio")
    print(f"ok: {args.name} logged in and wrote at {address} in {time.monotonic() - began:.2f} s")
    return 0


async def _log_in_and_write(address: Address, name: str, password: str) -> None:
    from gochat.client.connection import NullReceiver, open_connection
    from gochat.client.options import InternalOptions
    from gochat.protocol.messages import LoggedIn, LoggedOut, Login, Logout, Send, Sent

    async with open_connection(address, None, NullReceiver(), InternalOptions()) as connection:
        await connection.ask(Login(name=name, password=password), LoggedIn)
        await connection.ask(Send(to=f"@{name}", text="gochat check", cid=CID), Sent)
        await connection.ask(Logout(), LoggedOut)


def _password(path: Path | None) -> str:
    from gochat.errors import ConfigError

    if path is None:
        password = os.environ.get(VARIABLE, "")
    else:
        try:
            password = path.read_text(encoding="utf-8-sig").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"--password-file {path}: can't be read: {reason}") from error
    if not password:
        raise ConfigError(f"no password: give --password-file PATH, or set {VARIABLE}")
    return password
