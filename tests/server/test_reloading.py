"""Reloading the configuration of a running server."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import processes
import pytest
import structlog
import trio
import trio.testing
from msgspec import Struct, structs
from patience import PATIENCE
from peers import PASSWORD, Peer, config
from structlog.typing import EventDict

from gochat.config import KEYS, NEEDS_RESTART, Config, Key, Limits
from gochat.errors import ConfigError
from gochat.protocol.messages import (
    Error,
    Hello,
    Register,
    Send,
    Sent,
    ServerInfo,
)
from gochat.server import reloading
from gochat.server.app import open_server
from gochat.server.reloading import Reloader
from gochat.server.server import Server
from gochat.token_bucket import Buckets, TokenBucket

pytestmark = pytest.mark.trio


# -- each key -------------------------------------------------------------------------------------

#: What differs between two servers that have the same configuration.
_OWN = {
    "_dummy", "_updated", "_tokens", "_kinds", "identity", "store", "_store", "_held_for",
}  # fmt: skip


def settings_in(thing: object, path: str = "", seen: set[int] | None = None) -> Iterator[str]:
    """Yield every number and text that a server's parts keep, with the way to it."""
    seen = set() if seen is None else seen
    if isinstance(thing, int | float | str | bytes | None | frozenset | range | tuple):
        yield f"{path} = {thing!r}"
        return
    if id(thing) in seen or (callable(thing) and not hasattr(thing, "__dict__")):
        return
    seen.add(id(thing))
    if isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from settings_in(value, f"{path}[{key}]", seen)
    elif isinstance(thing, list):
        for number, value in enumerate(thing):
            yield from settings_in(value, f"{path}[{number}]", seen)
    elif type(thing).__module__.startswith(("gochat", "argon2")):
        names = [*getattr(thing, "__dict__", {})]
        if isinstance(thing, Struct):
            names += thing.__struct_fields__
        for cls in type(thing).__mro__:
            names += getattr(cls, "__slots__", ())
        for name in names:
            if name not in _OWN and hasattr(thing, name):
                yield from settings_in(getattr(thing, name), f"{path}.{name}", seen)


def another(key: Key) -> object:
    """Return a value of a key that is not its default, and contradicts no other."""
    chosen: dict[str, object] = {
        "registration.mode": "closed",
        "auth.command": ("/bin/true",),
        "websocket_origins": ("https://chat.example.org",),
        "log_format": "json",
        "log_level": "warning",
        "limits.mailbox_bytes": 4 * 1024 * 1024,
        "limits.password_max": 100,
        "limits.text_chars": 100,
        "limits.history_page": 7,
        "limits.argon2_parallelism": 2,
        "limits.argon2_memory": 64,
    }
    if key.name in chosen:
        return chosen[key.name]
    default = KEYS[key.name].value(PLAIN)
    match default:
        case bool():
            return not default
        case int() | float():
            return type(default)(default * 2 + 1)
        case str():
            return "another"
        case tuple():
            return ("another",)
    raise AssertionError(key.name)


PLAIN = structs.replace(config(), limits=structs.replace(Limits(), argon2_memory=8, argon2_time=1))
LIVE = [key for key in KEYS.values() if key.name not in NEEDS_RESTART]


def changed(base: Config, values: Mapping[str, object]) -> Config:
    for name, value in values.items():
        section, dot, short = name.partition(".")
        if dot:
            value = structs.replace(getattr(base, section), **{short: value})
        base = structs.replace(base, **{section: value})
    return base


def kept(server: Server) -> set[str]:
    """Return what a server keeps."""
    return {*settings_in(server)}


async def test_every_key_reaches_every_part_of_a_running_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that has reloaded is like one that was started so, whatever key it is."""
    monkeypatch.setattr(reloading, "configure_logs", lambda *_, **__: None)
    tls = {"tls.cert", "tls.key"}  # a certificate is reloaded by itself: test_signals.py
    wanted = changed(PLAIN, {key.name: another(key) for key in LIVE if key.name not in tls})
    for key in LIVE:
        assert key.name in tls or key.value(wanted) != key.value(PLAIN), key.name
    async with open_server(PLAIN) as server, open_server(wanted) as fresh:
        before = kept(server)
        assert before != kept(fresh)
        with structlog.testing.capture_logs() as logs:
            await Reloader(server.services, None, lambda: wanted).reload()
        assert kept(server) == kept(fresh)
    assert [entry["event"] for entry in logs] == ["configuration reloaded"]
    assert {*logs[0]["changed"]} == {key.name for key in LIVE} - tls


async def test_limits_that_are_in_use_change_too() -> None:
    now = trio.current_time()
    one, many = TokenBucket(10, 1, now), Buckets[str](10, 1, 100)
    for _ in range(8):
        one.take(now)
    many.of("mei", now).charge(now, 8)
    for bucket in (one, many):
        bucket.configure(5, 100, now)
    for bucket in (one, many.of("mei", now)):
        assert bucket.wait(now) == 0, "two are left"
        bucket.charge(now, 2)
        assert bucket.wait(now) == pytest.approx(0.01)
        assert bucket.full_at == pytest.approx(now + 0.05)


# -- a server -------------------------------------------------------------------------------------


class Reloadable:
    """A server in this process, its configuration, and the log of its last reload."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self._server = server
        self._nursery = nursery
        self._wanted: Config | ConfigError = config()
        self._reloader = Reloader(server.services, None, self._read)
        self.logs: list[EventDict] = []

    def _read(self) -> Config:
        if isinstance(self._wanted, ConfigError):
            raise self._wanted
        return self._wanted

    async def reload(self, wanted: Mapping[str, object] | ConfigError) -> None:
        self._wanted = wanted if isinstance(wanted, ConfigError) else changed(config(), wanted)
        with structlog.testing.capture_logs() as self.logs:
            await self._reloader.reload()

    def connect(self) -> Peer:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._server.serve_stream, theirs, "memory")
        return Peer(ours)

    async def peer(self, name: str) -> Peer:
        peer = self.connect()
        await peer.log_in(name, "log")
        return peer


@asynccontextmanager
async def reloadable() -> AsyncIterator[Reloadable]:
    async with open_server(config()) as server, trio.open_nursery() as nursery:
        yield Reloadable(server, nursery)
        nursery.cancel_scope.cancel()


async def test_new_limits_hold_for_who_is_connected() -> None:
    async with reloadable() as server:
        mei = await server.peer("mei")
        await mei.ask(Send(to="#lobby", text="x" * 300), Sent)
        await server.reload(
            {"limits.text_chars": 200, "limits.burst": 2, "limits.per_second": 0.01}
        )
        assert server.logs == [
            {
                "event": "configuration reloaded",
                "log_level": "info",
                "changed": {
                    "limits.burst": [1_000_000, 2],
                    "limits.per_second": [1_000_000.0, 0.01],
                    "limits.text_chars": [4000, 200],
                },
            }
        ]
        assert (await mei.ask(Send(to="#lobby", text="x" * 300), Error)).code == "text_too_long"
        for _ in range(2):
            await mei.ask(Send(to="#lobby", text="x"), Sent)
        assert (await mei.ask(Send(to="#lobby", text="x"), Error)).code == "rate_limited"
        await server.reload({})
        assert server.logs[0]["changed"]["limits.burst"] == [2, 1_000_000]
        with trio.fail_after(PATIENCE):
            await mei.ask(Send(to="#lobby", text="x" * 300), Sent)


async def test_registration_and_greeting_change_for_who_comes_next() -> None:
    async with reloadable() as server:
        before = server.connect()
        await server.reload({"motd": "closed today", "registration.mode": "closed"})
        for peer in (before, server.connect()):
            info = await peer.ask(Hello(), ServerInfo)
            assert (info.motd, info.registration) == ("closed today", "closed")
            error = await peer.ask(Register(name="mei", password=PASSWORD), Error)
            assert error.code == "registration_closed"


async def test_what_needs_a_restart_is_named_each_time_and_stays() -> None:
    async with reloadable() as server:
        for _ in range(2):
            await server.reload({"port": 1, "name": "ours", "limits.frame_bytes": 1_000_000})
            first = server.logs[0]
            assert first["event"] == "configuration needs a restart"
            assert first["keys"] == ["port", "limits.frame_bytes"]
        info = await server.connect().ask(Hello(), ServerInfo)
        assert (info.name, info.limits.frame_bytes) == ("ours", 65536)


async def test_key_that_contradicts_one_that_stays_needs_a_restart_too() -> None:
    """A longer text fits only the larger frames, which come with the restart."""
    async with reloadable() as server:
        await server.reload({"limits.frame_bytes": 1_000_000, "limits.text_chars": 100_000})
        assert server.logs[0]["keys"] == ["limits.frame_bytes", "limits.text_chars"]
        mei = await server.peer("mei")
        error = await mei.ask(Send(to="#lobby", text="x" * 4001), Error)
        assert error.code == "text_too_long"


async def test_configuration_that_cannot_be_read_changes_nothing() -> None:
    async with reloadable() as server:
        await server.reload({"motd": "one"})
        await server.reload(ConfigError("server.toml:3: limits.burst: expected a whole number"))
        assert [entry["event"] for entry in server.logs] == ["configuration reload failed"]
        assert server.logs[0]["reason"].startswith("server.toml:3: limits.burst:")
        assert (await server.connect().ask(Hello(), ServerInfo)).motd == "one"
        await server.reload({"motd": "one"})
        assert [entry["event"] for entry in server.logs] == ["configuration unchanged"]


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
async def test_sighup_reads_the_file_again(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("motd = 'one'\n")
    with processes.serve(
        tmp_path / "chat.db", "--config", str(file), "--log-format=json"
    ) as running:

        def reload(text: str, event: str) -> dict[str, Any]:
            file.write_text(text)
            running.process.send_signal(signal.SIGHUP)
            assert running.process.stderr is not None
            for line in running.process.stderr:
                if (entry := json.loads(line))["event"] == event:
                    return dict(entry)
            raise AssertionError(event)

        entry = reload("motd = 'two'\nlog_level = 'warning'\n", "configuration reloaded")
        assert entry["changed"] == {"motd": ["one", "two"], "log_level": ["info", "warning"]}
        entry = reload("motd = 'three'\n\nlog_levle = 'info'\n", "configuration reload failed")
        assert entry["reason"] == (f"{file}:3: log_levle: unknown key; did you mean log_level?")
        reload("port = 1\nmotd = 'four'\n", "configuration reloaded")
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as stream:
            assert (await Peer(stream).ask(Hello(), ServerInfo)).motd == "four"
        running.process.terminate()
        assert running.finish() == 0
