"""``gochat doctor``: look for problems with a server on this machine.

It changes nothing. Run it as the user who runs the server, with the same configuration: it is about
what that user may read and write.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gochat.cli import configured

if TYPE_CHECKING:
    from gochat.config import Config, Listen

#: A clock before this is wrong: there was no gochat.
FIRST_RELEASE: Final = datetime(2026, 11, 1, tzinfo=UTC)
#: Connections below which the limit on descriptors is worth a warning.
FEW_CONNECTIONS: Final = 1000
#: Size of Linux's `struct timex`, and what adjtimex returns if the clock is not synchronised.
_TIMEX_SIZE: Final = 256
_UNSYNCHRONISED: Final = 5

_MIB: Final = 1024 * 1024


class Finding(NamedTuple):
    """What was looked at, and what was found."""

    level: Literal["ok", "warning", "error"]
    subject: str
    text: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    configured.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON array of findings")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 if one of them is an error, else 0.

    Raises:
        ConfigError: the configuration is wrong.
    """
    from gochat.cli import FAILED
    from gochat.config import load_config

    config = load_config(args.config, settings=configured.settings(args))
    findings = list(examine(config))
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            print(f"{finding.level:<8} {finding.subject}: {finding.text}")
            if finding.advice:
                print(f"{'':<8} → {finding.advice}")
    return FAILED if any(finding.level == "error" for finding in findings) else 0


def examine(config: Config) -> Iterator[Finding]:
    """Yield what is found, good or bad."""
    yield from _versions()
    yield from _clock()
    yield from _descriptors(config)
    if config.store_url.startswith("sqlite:"):
        yield from _sqlite(config)
    else:
        yield from _redis(config)
    yield from _certificate(config)
    yield from _auth_command(config)
    for listen in config.listeners:
        yield from _listener(config, listen)
    if not config.metrics.port:
        advice = "set metrics.port, for /readyz, /metrics and `gochat status`"
        yield Finding("warning", "monitoring", "off", advice)


def _versions() -> Iterator[Finding]:
    import sqlite3

    import gochat

    text = f"gochat {gochat.__version__}, Python {platform.python_version()}, SQLite "
    yield Finding("ok", "versions", text + sqlite3.sqlite_version)


def _clock() -> Iterator[Finding]:
    now = datetime.now(UTC)
    if now < FIRST_RELEASE:
        advice = "set the clock before starting a server: messages would keep the wrong time"
        yield Finding("error", "clock", f"{now:%Y-%m-%d %H:%M} UTC is in the past", advice)
    elif sys.platform == "linux" and _is_unsynchronised():
        advice = "run chrony or systemd-timesyncd: nodes and certificates depend on the time"
        yield Finding("warning", "clock", "not synchronised with a time server", advice)
    else:
        yield Finding("ok", "clock", f"{now:%Y-%m-%d %H:%M} UTC")


def _is_unsynchronised() -> bool:
    import ctypes

    try:
        kernel = ctypes.CDLL(None)
        return bool(kernel.adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE)) == _UNSYNCHRONISED)
    except (OSError, AttributeError):
        return False  # unknown


def _descriptors(config: Config) -> Iterator[Finding]:
    from gochat.server.limits import max_connections

    most = max_connections(config.limits)
    few = most < FEW_CONNECTIONS
    advice = "raise the limit on file descriptors: LimitNOFILE=100000, or ulimit -n 100000"
    yield Finding(
        "warning" if few else "ok",
        "connections",
        f"{most:,} at most",
        advice if few and not config.limits.max_connections else "",
    )


# -- the store ------------------------------------------------------------------------------------


def _sqlite(config: Config) -> Iterator[Finding]:
    from gochat.storage import directory_of
    from gochat.storage.common.sqlite_url import parse_url

    path, directory = parse_url(config.store_url).path, directory_of(config.store_url)
    if path is None or directory is None:
        yield Finding("warning", "store", "in memory", "everything is lost when the server stops")
        return
    there = next(above for above in (directory, *directory.parents) if above.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        advice = f"chown it to {_user()}, or choose another store; run this as the server's user"
        yield Finding("error", "store", f"{_user()} can't write in {there}", advice)
    elif not path.exists():
        yield Finding("ok", "store", f"{path} does not exist yet: the server creates it")
    else:
        yield from _file(path)
    usage = shutil.disk_usage(there)
    free, limit = usage.free // _MIB, config.disk_warning
    is_low = free < limit
    advice = "when it is used up, nobody can write: free some, or enlarge the disk"
    yield Finding(
        "warning" if is_low else "ok",
        "disk",
        f"{free:,} MiB free at {there}",
        advice if is_low else "",
    )


def _file(path: Path) -> Iterator[Finding]:
    mode = path.stat().st_mode
    if not os.access(path, os.R_OK | os.W_OK):
        text = f"{_user()} can't read and write {path}"
        yield Finding("error", "store", text, f"chown {_user()} {path}")
    elif os.name == "posix" and mode & 0o077:
        text = f"others can open {path} (mode {stat.S_IMODE(mode):o})"
        yield Finding("warning", "store", text, "the server closes it as it starts")
    else:
        yield Finding("ok", "store", f"{path}, {path.stat().st_size // _MIB:,} MiB")


def _redis(config: Config) -> Iterator[Finding]:
    from gochat.errors import GochatError
    from gochat.storage.redis.diagnosis import diagnose

    try:
        for is_good, text, advice in diagnose(config.store_url):
            yield Finding("ok" if is_good else "warning", "Redis", text, advice)
    except GochatError as error:
        yield Finding("error", "Redis", str(error), "see docs/how-to/redis.md")


# -- the network ----------------------------------------------------------------------------------


def _certificate(config: Config) -> Iterator[Finding]:
    from gochat.errors import ConfigError
    from gochat.server.certificate import RENEWED_BEFORE, Certificate

    if not config.tls.cert:
        return
    try:
        expires = Certificate(config.tls).expires
    except ConfigError as error:
        yield Finding("error", "certificate", str(error))
        return
    if expires is None:
        yield Finding("warning", "certificate", "its date can't be read")
    else:
        left = expires - datetime.now(UTC)
        text = f"expires on {expires:%Y-%m-%d}, in {left.days} days"
        if left.total_seconds() <= 0:
            yield Finding("error", "certificate", f"expired on {expires:%Y-%m-%d}", "renew it")
        elif left < RENEWED_BEFORE:
            advice = "renew it; certbot does so 30 days before, if its timer runs"
            yield Finding("warning", "certificate", text, advice)
        else:
            yield Finding("ok", "certificate", text)
    mode = Path(config.tls.key).stat().st_mode
    if os.name == "posix" and mode & 0o007:
        text = f"everybody can read {config.tls.key} (mode {stat.S_IMODE(mode):o})"
        yield Finding("error", "certificate", text, f"chmod o= {config.tls.key}")


def _auth_command(config: Config) -> Iterator[Finding]:
    from gochat.errors import ConfigError
    from gochat.server.auth_command import require_program

    if not config.auth.command:
        return
    subject, program = "auth.command", Path(config.auth.command[0])
    try:
        require_program(config.auth, {})
    except ConfigError as error:
        yield Finding("error", subject, str(error).partition(": ")[2])
        return
    others = program.stat().st_mode & 0o022
    if os.name == "posix" and others:
        text = f"others can change {program}, and would see every password"
        yield Finding("error", subject, text, f"chmod go-w {program}")
    else:
        yield Finding("ok", subject, f"{program} can be started")


def _listener(config: Config, listen: Listen) -> Iterator[Finding]:
    subject = f"listener {listen}"
    if listen.systemd:
        yield Finding("ok", subject, "from systemd")
        return
    if listen.unix:
        directory = Path(listen.unix).absolute().parent
        if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
            yield Finding("ok", subject, "its directory can be written")
        else:
            advice = "RuntimeDirectory=gochat in the service makes /run/gochat"
            yield Finding("error", subject, f"{_user()} can't write in {directory}", advice)
        return
    host = "" if listen.host == "*" else listen.host
    try:
        family, *_, address = socket.getaddrinfo(
            host or None, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        text = "free"
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            yield Finding("error", subject, error.strerror or str(error), "see `gochat serve`")
            return
        text = "in use: a server runs there, or another program does"
    is_local = listen.host in ("localhost", "::1") or listen.host.startswith("127.")
    if is_local or config.encrypts(listen):
        yield Finding("ok", subject, text + (", with TLS" if config.encrypts(listen) else ""))
    else:
        advice = "configure [tls], or passwords and messages can be read on the way"
        yield Finding("warning", subject, f"{text}, without TLS", advice)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "this user"
