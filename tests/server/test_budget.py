"""The cost of requests: clients that exceed their budget are refused, and no others."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio
from peers import PASSWORD, Peer, config, running_server

from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.retries import Retries
from gochat.chat.typing_notices import TypingNotices
from gochat.config import Limits
from gochat.errors import ChatError
from gochat.protocol.messages import (
    CreateRoom,
    Error,
    History,
    HistoryPage,
    IsTyping,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Mark,
    Members,
    Message,
    Ping,
    Pong,
    Position,
    Request,
    Resume,
    Rooms,
    Search,
    Send,
    Sent,
    Sync,
    Typing,
    Who,
)
from gochat.server import session as session_module
from gochat.server.budget import (
    ARRIVING,
    CONNECTION,
    PER_CONVERSATION,
    PER_ENTRY,
    PER_SUMMARY,
    Budgets,
    OverBudget,
)
from gochat.server.requests import cost
from gochat.storage.sqlite.finder import Finder

MEI = NameKey("mei")


class Office:
    """People behind one address, and a clock."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.budgets = Budgets(Limits(**limits), lambda: self.now)

    def ask(
        self, *requests: Request, person: NameKey | None = MEI, address: str = "10.0.0.1"
    ) -> None:
        for request in requests:
            self.budgets.charge(address, person, cost(request))

    def come(self, person: NameKey, conversations: int, changed: int) -> None:
        """Ask for what our client asks for when it reconnects; `changed` conversations have as many
        entries as a page gives."""
        have = tuple(Position(conv=f"#{n}", epoch="e", seq=1, ts=1) for n in range(conversations))
        self.budgets.charge("10.0.0.1", None, CONNECTION)
        self.ask(Resume(token="x"), person=None)
        self.budgets.charge("10.0.0.1", person, ARRIVING)
        pages = changed // 5 + 1
        self.ask(*[Sync(have=have)] * pages, Who(), person=person)
        spent = pages * conversations * PER_SUMMARY + changed * (PER_CONVERSATION + 50 * PER_ENTRY)
        self.budgets.spend("10.0.0.1", person, spent)

    def is_refused(self, *requests: Request, **who: Any) -> bool:
        try:
            self.ask(*requests, **who)
        except OverBudget:
            return True
        return False


# -- clients that must not notice -----------------------------------------------------------------


def test_app_start_with_many_rooms_and_people_is_allowed() -> None:
    office = Office()
    office.come(MEI, 100, 100)
    office.ask(*[Who()] * 25, *[Rooms()] * 4, *[Members(room="#x")] * 5)


def test_catch_up_after_a_day_away_is_allowed() -> None:
    office = Office()
    office.come(MEI, 100, 100)
    office.ask(*[History(conv="#x", limit=200)] * 100, *[Mark(conv="#x", read=1)] * 100)


def test_scrolling_and_searching_at_key_repeat_rate_is_allowed() -> None:
    office = Office()
    office.come(MEI, 100, 100)
    for _ in range(30 * 60):  # a key held for a minute, ten entries a page
        office.now += 1 / 30
        office.ask(History(conv="#x", limit=10))
    for number in range(120):  # a fast typist in the search
        office.now += 1 / 8
        office.ask(Search(query="x" * (number + 1)))


def test_reconnect_of_fifty_people_behind_one_address_is_allowed() -> None:
    office = Office(connections_per_address=64)
    for number in range(50):
        office.come(NameKey(str(number)), 100, 100)
        office.ask(*[History(conv="#x", limit=200)] * 20, person=NameKey(str(number)))


# -- clients that must notice --------------------------------------------------------------------


def test_cost_beyond_the_budget_is_owed() -> None:
    office = Office(request_budget=100, request_budget_per_second=10)
    office.ask(*[Search(query="x")] * 10)
    with pytest.raises(OverBudget) as caught:
        office.ask(Ping())
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after == pytest.approx(0.1)
    office.now += 0.1
    office.ask(Search(query="x"))  # one point was left, nine are owed
    office.now += 0.9
    assert office.is_refused(Ping())
    office.now += 0.1
    office.ask(Ping())


@pytest.mark.parametrize(
    ("addresses", "is_one"),
    [
        (["10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"], True),
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], False),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3:4"], True),  # one /64
        ([f"2001:db8:0:{n}::1" for n in range(1, 4)], True),  # one /56
        ([f"2001:db8:{n}::1" for n in range(1, 4)], False),
    ],
)
def test_address_has_one_budget_for_all_its_people(addresses: list[str], is_one: bool) -> None:
    office = Office(request_budget=100, request_budget_per_second=1, connections_per_address=1)
    for number, address in enumerate(addresses[:2]):
        office.is_refused(*[Search(query="x")] * 11, person=NameKey(str(number)), address=address)
    last = addresses[2]
    assert office.is_refused(Ping(), person=NameKey("last"), address=last) is is_one


def test_person_has_one_budget_at_all_addresses() -> None:
    office = Office(request_budget=100, request_budget_per_second=1)
    assert office.is_refused(*[Search(query="x")] * 11)
    assert office.is_refused(Ping(), address="10.9.9.9")
    assert not office.is_refused(Ping(), person=NameKey("bob"))


def test_typing_in_many_conversations_has_one_rate_limit() -> None:
    notices = TypingNotices()
    admitted = [notices.admit(ConversationKey(f"#{n % 2}"), 3.0, n / 1000) for n in range(1500)]
    assert sum(admitted) == 2
    notices = TypingNotices()
    admitted = [notices.admit(ConversationKey(f"#{n}"), 3.0, n / 100) for n in range(3000)]
    assert sum(admitted) == 3 + 3 * 3  # in 30 s


def test_continuous_typing_is_shown_every_interval() -> None:
    notices = TypingNotices()
    admitted = [at for at in range(30) if notices.admit(LOBBY_KEY, 3.0, float(at))]
    assert admitted == list(range(0, 30, 3))


# -- in a server ----------------------------------------------------------------------------------


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make refused clients wait next to nothing."""
    monkeypatch.setattr(session_module, "MAX_PAUSE", 0.001)


async def refusals(peer: Peer, *requests: Request) -> list[str]:
    """Send requests in one segment; return the codes of the refusals."""
    peer.received.clear()
    await peer.send(*requests, Ping(request_id="last"))
    while not any(getattr(m, "request_id", None) == "last" for m in peer.received):
        await peer.receive()
    return [str(m.code) for m in peer.received if isinstance(m, Error) and m.request_id != "last"]


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.trio
async def test_excessive_reading_is_refused_for_a_while() -> None:
    limits = config(request_budget=100, request_budget_per_second=0.01)
    async with running_server(limits) as server, server.peer("mei") as mei:
        codes = await refusals(mei, *[History(conv="#lobby", limit=100)] * 60)
        assert set(codes) == {"rate_limited"}
        # 100 points: 10 for logging in, 2 for each request, and 1 for all the frames
        assert 60 - 45 <= len(codes) <= 60 - 44
        error = await mei.ask(History(conv="#lobby"), Error)
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 500  # each refusal is owed, too
        async with server.connect() as again:  # the budget is the person's, not the connection's
            assert (await again.ask(Resume(token=mei.token), Error)).code == "rate_limited"
        async with server.peer("bob") as bob:
            await bob.ask(History(conv="#lobby"), HistoryPage)


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.trio
async def test_messages_have_a_separate_limit() -> None:
    async with running_server(config(request_budget=100, request_budget_per_second=0.01)) as server:
        async with server.peer("mei", "log") as mei:
            await refusals(mei, *[Search(query="x")] * 12)
            await mei.ask(Send(to="#lobby", text="hi"), Sent)


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.trio
async def test_refused_messages_are_looked_up_while_the_budget_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = 0
    find = Retries.find

    async def counted(self: Retries, *args: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        return await find(self, *args)

    monkeypatch.setattr(Retries, "find", counted)
    limits = config(request_budget=100, request_budget_per_second=0.01, burst=1, per_second=0.01)
    async with running_server(limits) as server, server.peer("mei") as mei:
        sends = [Send(to="#lobby", text="x", cid=str(number)) for number in range(200)]
        assert len(await refusals(mei, *sends)) == 199
        assert 50 <= looked_up <= 100


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.trio
@pytest.mark.parametrize("what", ["bad tokens", "logins"])
async def test_repeated_logins_are_refused_to_the_address(what: str) -> None:
    limits = config(request_budget=100, request_budget_per_second=0.01, connections_per_address=2)
    async with running_server(limits) as server, server.connect() as peer:
        await peer.register("mei")
        answers: list[str] = []
        while answers[-1:] != ["rate_limited"]:
            if what == "bad tokens":
                reply = await peer.ask(Resume(token="wrong"), Error)
                answers.append(str(reply.code))
                continue
            # With "log": otherwise each login would wait until its reads for the peer are paid for.
            login = Login(name="mei", password=PASSWORD, caps=("log",))
            answer: Any = await peer.ask(login, (LoggedIn, Error))  # type: ignore[arg-type]  # one of several kinds
            if isinstance(answer, LoggedIn):
                answer = await peer.ask(Logout(), (LoggedOut, Error))  # type: ignore[arg-type]  # one of several kinds
            answers.append(str(answer.code) if isinstance(answer, Error) else "")
        # Of 200 points: 11 for the setup, then 3 for each, or 10 + 10 + 5 (100 a person).
        assert 50 <= len(answers) <= 70 if what == "bad tokens" else 4 <= len(answers) <= 9


@pytest.mark.trio
async def test_connections_use_up_the_budget() -> None:
    limits = config(request_budget=100, request_budget_per_second=0.01, connections_per_address=1)
    async with running_server(limits) as server:
        for _ in range(100):
            async with await trio.open_tcp_stream(server.host, server.port):
                pass
        codes = []
        for _ in range(20):
            async with server.connect() as peer:
                codes += [str(m.code) for m in await peer.at_end() if isinstance(m, Error)]
                if codes:
                    break
        assert codes == ["rate_limited"]


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.trio
@pytest.mark.parametrize(("effort", "served"), [(0.0, 9), (0.06, 3)])
async def test_slow_search_costs_more(
    effort: float, served: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: Any) -> tuple[list[Message], None]:
        began = time.thread_time()
        while time.thread_time() - began < effort:
            pass
        return [], None

    monkeypatch.setattr(Finder, "search", search)
    limits = config(request_budget=100, request_budget_per_second=0.01)
    async with running_server(limits) as server, server.peer("mei") as mei:
        codes = await refusals(mei, *[Search(query="x")] * 12)
        assert 0 <= len(codes) - (12 - served) <= (effort > 0)  # it may take a bit longer


@pytest.mark.trio
async def test_created_rooms_are_bounded_per_day() -> None:
    async with running_server(config(rooms_per_day=3)) as server, server.peer("mei") as mei:
        await mei.ask(CreateRoom(room="#a"), Sent)
        assert (await mei.ask(CreateRoom(room="#a"), Error)).code == "room_exists"  # costs nothing
        await mei.ask(CreateRoom(room="#b", cid="b"), Sent)
        assert (await mei.ask(CreateRoom(room="#b", cid="b"), Sent)).dup
        await mei.ask(CreateRoom(room="#c"), Sent)
        error = await mei.ask(CreateRoom(room="#d"), Error)
        assert error.code == "rate_limited"
        assert error.retry_after is not None
        assert 8 * 3600 - 60 < error.retry_after <= 8 * 3600
        assert (await mei.ask(CreateRoom(room="#b", cid="b"), Sent)).dup


@pytest.mark.trio
async def test_typing_in_two_conversations_shows_one_notice_in_each() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob", "typing") as bob:
            await bob.ask(Ping(), Pong)  # a session that is still logging in is not shown it
            await mei.send(*[Typing(to=to) for to in ("#lobby", "@bob")] * 100)
            await mei.send(Send(to="#lobby", text="done"))
            await bob.text()
            seen = [m.to for m in bob.received if isinstance(m, IsTyping)]
            assert seen == ["#lobby", "@bob"]


@pytest.mark.trio
async def test_client_over_budget_is_not_read_from_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise refusing would cost as much as serving did."""
    monkeypatch.setattr(session_module, "MAX_PAUSE", 0.1)
    limits = config(request_budget=100, request_budget_per_second=0.01)
    async with running_server(limits) as server, server.peer("mei") as mei:
        await refusals(mei, *[Search(query="x")] * 12)
        began = trio.current_time()
        await refusals(mei, Search(query="x"))
        await mei.ask(Ping(), (Pong, Error))  # type: ignore[arg-type]  # one of several kinds
        assert trio.current_time() - began >= 2 * 0.1


def test_budget_error_is_a_known_error() -> None:
    assert isinstance(OverBudget(1.0), ChatError)
