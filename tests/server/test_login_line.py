"""The queue of an address with too many failed logins: who waits, in which order, and who
doesn't."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from peers import PASSWORD, Peer, config

from gochat.errors import ChatError
from gochat.protocol.messages import Error, LoggedIn, LoggedOut, Login, Logout, Resume
from gochat.server.app import open_server
from gochat.server.login_line import LoginLines
from gochat.server.server import Server

pytestmark = pytest.mark.trio

HERE = "10.0.0.1"


# -- the queue ------------------------------------------------------------------------------------


async def test_logins_of_an_address_run_one_by_one_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lines, began = LoginLines(3.0, 5), trio.current_time()
    tried: list[tuple[int, float]] = []

    async def wait(number: int, address: str = HERE) -> None:
        lines.check(address)
        await lines.wait(address)
        tried.append((number, round(trio.current_time() - began, 1)))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(wait, number)
            await trio.sleep(0.1)
        with trio.move_on_after(0.1):
            await wait(100)  # and leaves
        nursery.start_soon(wait, 200, "10.0.0.2")
        nursery.start_soon(wait, 5)
        await trio.sleep(0.1)
        with pytest.raises(ChatError) as caught:
            await wait(101)
        assert (caught.value.code, caught.value.retry_after) == ("rate_limited", 15.0)
    mine = [(number, when) for number, when in tried if number != 200]
    assert mine == [(number, 3.0 * number) for number in range(6)]
    assert (200, 0.6) in tried, "no other address waits for this one"


async def test_finished_queues_are_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    lines = LoginLines(3.0, 5)
    for number in range(100):
        await lines.wait(f"10.0.0.{number}")
        await trio.sleep(1)
    assert len(lines._lines) <= 4


# -- on a server ----------------------------------------------------------------------------------


class Office:
    """People behind one address of a server."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self._server = server
        self._nursery = nursery

    def connect(self, address: str = HERE) -> Peer:
        """Open a connection from the office's address."""
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._server.serve_stream, theirs, address)
        return Peer(ours)

    async def fail(self, times: int) -> None:
        """Try passwords of accounts that don't exist."""
        for number in range(times):
            guess = Login(name=f"nobody{number}", password=PASSWORD)
            assert (await self.connect().ask(guess, Error)).code == "bad_credentials"

    @property
    def waiting(self) -> int:
        """Return how many logins are queued."""
        lines = self._server.services.login_lines._lines
        return lines[HERE].waiting if HERE in lines else 0


async def until_waiting(office: Office, many: int) -> None:
    with trio.fail_after(30):
        while office.waiting != many:
            await trio.testing.wait_all_tasks_blocked(0.001)


async def test_office_over_its_limit_is_slowed_down_not_locked_out(tmp_path: Path) -> None:
    """People who have logged in from there go on as before, even after a restart and a logout; and
    so does everyone elsewhere, and everyone with a token."""
    limits = config(
        store=f"sqlite:///{tmp_path}/chat.db",
        login_failures_address=3,
        login_interval=3600,
        login_line=2,
    )
    mei, ted = Login(name="mei", password=PASSWORD), Login(name="ted", password=PASSWORD)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        office = Office(server, nursery)
        peer = office.connect()
        await peer.log_in("mei")
        token = peer.token
        peer = office.connect()
        await peer.log_in("bob")
        await peer.ask(Logout(), LoggedOut)
        await peer.register("ted")
        nursery.cancel_scope.cancel()
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        office = Office(server, nursery)
        await office.fail(3)
        await office.connect().ask(ted, LoggedIn)  # the first in the queue does not wait
        newcomer = Login(name="nobody", password=PASSWORD)
        leaving, staying = office.connect(), office.connect()
        await leaving.send(newcomer)
        await until_waiting(office, 1)
        await staying.send(newcomer)
        await until_waiting(office, 2)
        refusal = await office.connect().ask(newcomer, Error)
        assert (refusal.code, refusal.retry_after) == ("rate_limited", 7200)
        await office.connect().ask(mei, LoggedIn)
        await office.connect().ask(Login(name="BOB", password=PASSWORD), LoggedIn)
        await office.connect().ask(ted, LoggedIn)  # known from here on
        await office.connect().ask(Resume(token=token), LoggedIn)
        elsewhere = await office.connect("10.0.0.2").ask(newcomer, Error)
        assert elsewhere.code == "bad_credentials"
        await leaving.stream.aclose()
        await until_waiting(office, 1)
        nursery.cancel_scope.cancel()


async def test_mistakes_of_known_people_slow_nobody_down() -> None:
    limits = config(login_failures_address=3, login_interval=3600)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        office = Office(server, nursery)
        for name in ("mei", "bob"):
            await office.connect().log_in(name)
            for _ in range(4):
                mistake = Login(name=name, password="typing error")
                assert (await office.connect().ask(mistake, Error)).code == "bad_credentials"
        for _ in range(2):
            await office.fail(1)  # none waits
        nursery.cancel_scope.cancel()


async def test_known_person_still_has_the_limit_of_the_account() -> None:
    async with open_server(config(login_failures_account=2)) as server:
        async with trio.open_nursery() as nursery:
            office = Office(server, nursery)
            await office.connect().log_in("mei")
            guess = Login(name="mei", password="wrong password")
            codes = [(await office.connect().ask(guess, Error)).code for _ in range(3)]
            assert codes == ["bad_credentials", "bad_credentials", "rate_limited"]
            nursery.cancel_scope.cancel()
