"""A server under siege: people chat in rooms, while others guess passwords, log in all at once, and
connect without logging in.

Each comes from an address of its own of the loopback (Linux). The limits against them are the
defaults; those on single people are not, as everywhere here, and hashes cost what they cost by
default.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from benchmarks import servers
from benchmarks.crowd import NAME, Crowd, Talked, Way, open_crowd
from benchmarks.report import Report, Row
from benchmarks.servers import PASSWORD, Gochat
from gochat.config.limits import Limits
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.messages import (
    Bye,
    ByeReason,
    Error,
    LoggedIn,
    Login,
    Register,
    Registered,
    ServerMessage,
)
from gochat.protocol.states import State

#: The limits that a siege is about: as they are by default.
DEFAULTS: Final = (
    "anonymous_max", "anonymous_timeout", "hashing_queue", "argon2_memory", "argon2_time",
    "login_failures", "login_failures_account", "login_failures_address",
)  # fmt: skip
#: Of the addresses of strangers, see :func:`_address`.
STRANGERS: Final = 3
#: Strangers that connect at the same moment.
AT_ONCE: Final = 200
#: Seconds for which the server gives the same metrics, and a little more.
METRICS_AGE: Final = 1.1
#: Seconds within which everybody must be in, however busy the machine is.
LONGEST: Final = 300.0
#: Seconds after which somebody comes again for whom there was no place.
AGAIN: Final = 0.5
#: Ends by itself if its parent is gone.
_LOOP: Final = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"
#: Who logs in at once; their number follows.
ARRIVING: Final = "arriving"


@dataclass
class Siege:
    """How many do what."""

    guessers: int = 0
    logins: int = 0
    strangers: int = 0
    #: Programs that have nothing to do with the server and use all the time they get: what a
    #: machine's cores cost that others use, too.
    programs: int = 0


@dataclass
class Outcome:
    """What came of it.

    `guesses` counts the codes of the replies to those who guessed. `logged_in` is how many logged
    in, `again` how often they had to come again, and `login_seconds` when the last one was in. In
    `strangers` are the codes that they were sent, ``let in`` being nothing, and ``made room`` the
    goodbye to who was let in and had to go for others at once; in `refusals`, by how much the
    server's metrics of refusals have grown, and in `ended` those of connections that ended.
    """

    guesses: Counter[str] = field(default_factory=Counter)
    logged_in: int = 0
    again: int = 0
    login_seconds: float = 0.0
    strangers: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    @property
    def strangers_refused(self) -> int:
        """How many strangers were not let in at all."""
        stayed = self.strangers["let in"] + self.strangers["made room"]
        return self.strangers.total() - stayed


def run(
    report: Report,
    directory: Path,
    people: int,
    siege: Siege,
    rate: float,
    seconds: float,
    apart: bool = True,
    **changed: object,
) -> dict[str, Outcome]:
    """Let people chat: alone, beside each kind of siege if `apart`, and beside all at once.

    In all they write `rate` messages a second, for so many seconds. `changed` are limits that
    differ from the defaults. Returns what came of each.
    """
    way = Way("in rooms", "room", max(1, int(rate * seconds)), rate=rate)
    kinds = {
        "nobody": Siege(),
        f"{siege.guessers} guess passwords": Siege(guessers=siege.guessers),
        f"{siege.logins} log in at once": Siege(logins=siege.logins),
        f"{siege.strangers:,} connect": Siege(strangers=siege.strangers),
        "all of them": siege,
        "a busy program for each core": Siege(programs=os.cpu_count() or 1),
    }
    if not apart:
        kinds = {name: kind for name, kind in kinds.items() if kind in (Siege(), siege)}
    limits = {name: getattr(Limits(), name) for name in DEFAULTS} | changed
    outcomes: dict[str, Outcome] = {}
    rows: list[Row] = []
    with servers.gochat(directory / "siege", monitored=True, **limits) as server:
        trio.run(_register, server, siege.logins)
        with open_crowd(server, directory, people) as crowd:
            for name, kind in kinds.items():
                with _busy(kind.programs):
                    talked, outcome = trio.run(_beside, server, crowd, way, kind)
                outcomes[name] = outcome
                rows.append(
                    {
                        "beside": name,
                        "chat p50 ms": talked.p50 * 1e3,
                        "chat p99 ms": talked.p99 * 1e3,
                        "guesses answered": outcome.guesses["bad_credentials"],
                        "guesses refused": outcome.guesses.total()
                        - outcome.guesses["bad_credentials"],
                        "logged in": outcome.logged_in,
                        "came again": outcome.again,
                        "the last after s": outcome.login_seconds,
                        "strangers not refused at once": outcome.strangers["let in"],
                        "strangers gone at once": outcome.strangers["made room"],
                        "strangers refused at once": outcome.strangers_refused,
                        "refusals in the metrics": outcome.refusals.total(),
                        "made room in the metrics": outcome.ended['reason="server_full"'],
                    }
                )
    report.table(f"Chat of {people} at {rate:g} messages/s under siege", rows)
    return outcomes


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Run so many programs that use all the time they get."""
    with ExitStack() as stack:
        for _ in range(count):
            program = stack.enter_context(subprocess.Popen([sys.executable, "-c", _LOOP]))
            stack.callback(program.kill)
        yield


async def _beside(server: Gochat, crowd: Crowd, way: Way, siege: Siege) -> tuple[Talked, Outcome]:
    """Play a round beside a siege, which begins with it and ends after it."""
    outcome, before = Outcome(), _metrics(server)
    begun = time.perf_counter()
    async with trio.open_nursery() as lasting:
        async with trio.open_nursery() as finite:
            crowd.begin(way)
            for number in range(siege.guessers):
                lasting.start_soon(_guess, server, number, outcome)
            start = trio.Event()
            for number in range(siege.logins):
                finite.start_soon(_log_in, server, number, lasting, start, begun, outcome)
            start.set()
            limiter = trio.CapacityLimiter(AT_ONCE)
            for number in range(siege.strangers):
                finite.start_soon(_stay, server, number, lasting, limiter, outcome)
            await trio.to_thread.run_sync(crowd.wait)
            if siege.guessers:
                while not outcome.guesses["bad_credentials"]:  # noqa: ASYNC110 -- a short round
                    await trio.sleep(0.01)
        lasting.cancel_scope.cancel()
    await trio.sleep(METRICS_AGE)
    after = _metrics(server)
    outcome.refusals, outcome.ended = after[0] - before[0], after[1] - before[1]
    return crowd.end(way), outcome


async def _register(server: Gochat, logins: int) -> None:
    """Make the accounts of who will log in."""
    async with trio.open_nursery() as nursery:
        limiter = trio.CapacityLimiter(8)

        async def register(number: int) -> None:
            async with limiter, await _connect(server, _address(1, number)) as stream:
                name = f"{ARRIVING}{number}"
                await stream.send_all(encode(Register(name=name, password=PASSWORD)))
                assert isinstance(await _Replies(stream).next(), Registered)

        for number in range(logins):
            nursery.start_soon(register, number)


async def _guess(server: Gochat, number: int, outcome: Outcome) -> None:
    """Guess the password of somebody who is chatting, again and again."""
    while True:
        async with await _connect(server, _address(2, number)) as stream:
            replies = _Replies(stream)
            for attempt in range(4):
                wrong = Login(name=f"{NAME}{number}", password=f"wrong horse {attempt}")
                try:
                    await stream.send_all(encode(wrong))
                    reply = await replies.next()
                except trio.BrokenResourceError:
                    break
                if not isinstance(reply, Error):
                    break
                outcome.guesses[reply.code] += 1


async def _log_in(
    server: Gochat,
    number: int,
    lasting: trio.Nursery,
    start: trio.Event,
    begun: float,
    outcome: Outcome,
) -> None:
    """Log in with the right password, and stay until the siege ends. Who finds the server full, or
    busy, comes again, as clients do."""
    await start.wait()
    login = encode(Login(name=f"{ARRIVING}{number}", password=PASSWORD))
    with trio.fail_after(LONGEST):
        while True:
            stream = await _connect(server, _address(1, number))
            try:
                await stream.send_all(login)
                reply = await _Replies(stream).next()
            except trio.BrokenResourceError:
                reply = None
            if isinstance(reply, LoggedIn):
                break
            await trio.aclose_forcefully(stream)
            outcome.again += 1
            await trio.sleep(AGAIN)
    lasting.start_soon(_close_at_end, stream)
    outcome.logged_in += 1
    outcome.login_seconds = max(outcome.login_seconds, time.perf_counter() - begun)


async def _stay(
    server: Gochat,
    number: int,
    lasting: trio.Nursery,
    limiter: trio.CapacityLimiter,
    outcome: Outcome,
) -> None:
    """Connect, and say nothing; stay until the siege or the server ends it."""
    async with limiter:
        try:
            stream = await _connect(server, _address(STRANGERS, number))
        except OSError:
            outcome.strangers["not connected"] += 1
            return
        code = "let in"
        with trio.move_on_after(0.5):
            try:
                reply = await _Replies(stream).next()
                is_bye = isinstance(reply, Bye) and reply.reason == ByeReason.SERVER_FULL
                code = reply.code if isinstance(reply, Error) else "answered"
                code = "made room" if is_bye else code
            except trio.BrokenResourceError:
                code = "closed"
        outcome.strangers[code] += 1
    if code == "let in":
        lasting.start_soon(_close_at_end, stream)
    else:
        await trio.aclose_forcefully(stream)


async def _close_at_end(stream: trio.SocketStream) -> None:
    """Read what comes, until it ends."""
    async with stream:
        try:
            while await stream.receive_some(65_536):
                pass
        except trio.BrokenResourceError:
            return


class _Replies:
    """What a server sends, besides events."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._protocol = Connection(Role.CLIENT, state=State.UNKNOWN)

    async def next(self) -> ServerMessage:
        """Return the next message. Raises BrokenResourceError at the end."""
        while (message := self._protocol.next_message()) is None:
            data = await self._stream.receive_some(65_536)
            if not data:
                raise trio.BrokenResourceError
            self._protocol.receive_data(data)
        return message


async def _connect(server: Gochat, address: str) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", server.port, local_address=address)


def _address(kind: int, number: int) -> str:
    """Return an address of the loopback. Strangers come from few networks (/24), as those of an
    attack do; all others from everywhere."""
    if kind == STRANGERS:
        return f"127.{10 * kind + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"
    return f"127.{10 * kind + number // 62_500}.{number % 250}.{number // 250 % 250 + 1}"


def _metrics(server: Gochat) -> tuple[Counter[str], Counter[str]]:
    """Return the server's metrics of what it has refused, and of connections that have ended."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.monitor}/metrics") as reply:
        text = reply.read().decode()

    def of(name: str) -> Counter[str]:
        found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.M)
        return Counter({labels: int(float(count)) for labels, count in found})

    return of("gochat_refusals_total"), of("gochat_connections_ended_total")
