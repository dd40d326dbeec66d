"""What a person may add in a day: bytes of the log, private conversations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from peers import config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer
from structlog.typing import EventDict

from gochat.chat.log_requests import LogRequest
from gochat.chat.names import NameKey
from gochat.config import Limits
from gochat.errors import ChatError
from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    Error,
    History,
    HistoryPage,
    Join,
    React,
    Send,
    Sent,
    SetTopic,
)
from gochat.server.daily_quotas import ENTRY, QuotaExceeded, Quotas, size

MEI = NameKey("mei")
DAY = 24 * 3600


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite:///:memory:"
    server: RedisServer = request.getfixturevalue("redis_server")
    return Nodes(server).url()


# -- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "written"),
    [
        (Send(to="#lobby", text="hi"), 2),
        (Send(to="#lobby", text="漢" * 4000), 12_000),
        (Send(to="#lobby", text="hi", cid="c" * 64), 66),
        (Edit(to="#lobby", seq=1, text="é" * 100), 200),
        (React(to="#lobby", seq=1, emoji="👍"), 4),
        (Delete(to="#lobby", seq=1), 0),
        (Join(room="#tea"), 0),
        (SetTopic(room="#tea", topic="x" * 200), 200),
        (CreateRoom(room="#tea", topic="x" * 200), ENTRY + 6 + 4 + 200),
    ],
)
def test_requests_cost_what_they_write(request_: LogRequest, written: int) -> None:
    assert size(request_) == ENTRY + written


class Day:
    """A person's day with the default quotas: writes as often as the rate limit allows."""

    def __init__(self, **limits: Any) -> None:
        self.now = 0.0
        self.quotas = Quotas(Limits(**limits))
        self.written = 0

    def write(self, request: LogRequest, *, seconds: float, every: float = 5.0) -> bool:
        """Write 5 times a second for the given time. Return whether nothing was refused."""
        times, refused = int(Limits().per_second * every), False
        for _ in range(int(seconds / every)):
            self.now += every
            for _ in range(times):
                try:
                    self.quotas.charge(MEI, request, self.now)
                except QuotaExceeded:
                    refused = True
                    break
                self.written += size(request)
        return not refused


def test_bot_that_writes_at_the_rate_limit_all_day_is_not_refused() -> None:
    limits, line = Limits(), Send(to="#lobby", text="x" * 50)
    assert size(line) * limits.per_second * DAY < limits.bytes_per_day


def test_pasting_ten_megabytes_of_logs_is_not_refused() -> None:
    assert Day().write(Send(to="#lobby", text="x" * 4000), seconds=10_000_000 / 4000 / 5)


def test_rare_characters_at_full_speed_use_bounded_disk_space() -> None:
    """Otherwise they would write 5 GB a day, and the index 12 times as much."""
    quota = 2**20
    day = Day(bytes_per_day=quota)
    worst = Send(to="#lobby", text="漢" * 4000)
    assert not day.write(worst, seconds=DAY, every=600)
    assert day.written <= 2 * quota + size(worst), "what was there, and what came in a day"
    before = day.written
    day.write(worst, seconds=DAY, every=600)
    assert day.written - before <= quota + size(worst)


# -- in a server ----------------------------------------------------------------------------------


@pytest.mark.trio
async def test_message_over_the_quota_is_refused_with_retry_after(
    store: str, logs: list[EventDict]
) -> None:
    async with running_server(config(store=store, bytes_per_day=10_000)) as server:
        async with server.peer("mei") as mei, server.peer("bob") as bob:
            for cid in ("1", "2", "3"):  # the third one is owed
                await mei.ask(Send(to="#lobby", text="x" * 4000, cid=cid), Sent)
            refused = Send(to="#lobby", text="hi", cid="4")
            error = await mei.ask(refused, Error)
            for _ in range(50):
                assert (await mei.ask(refused, Error)).code == error.code == "rate_limited"
            assert "written too much today" in error.text
            owed = 3 * (4000 + ENTRY + 1) - 10_000
            assert error.retry_after == pytest.approx((owed + 1) / 10_000 * DAY, rel=0.01)
            for other in (
                Edit(to="#lobby", seq=1, text="hi"),
                React(to="#lobby", seq=1, emoji="👍"),
                Delete(to="#lobby", seq=1),
                CreateRoom(room="#tea"),
            ):
                assert (await mei.ask(other, Error)).code == "rate_limited"
            assert (await mei.ask(Send(to="#lobby", text="x" * 4000, cid="2"), Sent)).dup
            await bob.ask(Send(to="#lobby", text="hi"), Sent)
            page = await bob.ask(History(conv="#lobby"), HistoryPage)
            assert [len(entry.text) for entry in page.entries] == [4000, 4000, 4000, 2]
    [line] = [line for line in logs if line["event"] == "quota used up"]
    assert (line["name"], line["quota"], line["code"]) == ("mei", "bytes_per_day", "rate_limited")


@pytest.mark.trio
async def test_refused_or_repeated_requests_use_no_quota() -> None:
    async with running_server(config(bytes_per_day=10_000)) as server:
        async with server.peer("mei") as mei, server.peer("bob") as bob:
            first = Send(to="#lobby", text="x" * 4000, cid="1")
            await mei.ask(first, Sent)
            await bob.ask(CreateRoom(room="#tea"), Sent)
            await mei.send(*[first] * 5)  # together, too
            for _ in range(5):
                assert (await mei.ask(first, Sent)).dup
                for refused in (
                    Send(to="@nobody", text="x" * 4000),
                    Send(to="#lobby", text="x" * 4001),
                    Send(to="#tea", text="x" * 4000),
                    Edit(to="#lobby", seq=99, text="x" * 4000),
                    SetTopic(room="#tea", topic="x" * 200),
                    CreateRoom(room="#tea", topic="x" * 200),
                ):
                    assert (await mei.ask(refused, Error)).code != "rate_limited"
            await mei.ask(Send(to="#lobby", text="x" * 4000), Sent)
            await mei.ask(Send(to="#lobby", text="x" * 4000), Sent)
            assert (await mei.ask(Send(to="#lobby", text="hi"), Error)).code == "rate_limited"


@pytest.mark.trio
async def test_new_private_conversations_are_bounded_per_day(
    store: str, logs: list[EventDict]
) -> None:
    limits = config(store=store, conversations_per_day=2)
    async with running_server(limits) as server, server.peer("mei") as mei:
        async with server.peer("bob") as bob, server.peer("eve") as eve, server.peer("zoe"):
            await bob.ask(Send(to="@mei", text="hi"), Sent)  # begun by the other person
            await mei.ask(Send(to="@bob", text="hi"), Sent)
            await mei.ask(Send(to="@mei", text="hi", cid="1"), Sent)
            assert (await mei.ask(Send(to="@mei", text="hi", cid="1"), Sent)).dup
            await mei.ask(Send(to="@mei", text="hi"), Sent)
            await mei.ask(Send(to="@zoe", text="hi", cid="2"), Sent)
            refused = Send(to="@eve", text="hi", cid="3")
            error = await mei.ask(refused, Error)
            assert error.field == "to"
            for _ in range(50):
                assert (await mei.ask(refused, Error)).code == error.code == "rate_limited"
            assert error.retry_after == pytest.approx(DAY / 2, rel=0.01)
            assert (await mei.ask(Send(to="@zoe", text="hi", cid="2"), Sent)).dup
            for to in ("@bob", "@mei", "@zoe", "#lobby"):
                await mei.ask(Send(to=to, text="hi"), Sent)
            await eve.ask(Send(to="@mei", text="hi"), Sent)
            await mei.ask(Send(to="@eve", text="hi", cid="3"), Sent)
    [line] = [line for line in logs if line["event"] == "quota used up"]
    assert (line["name"], line["quota"]) == ("mei", "conversations_per_day")


def test_quota_error_is_a_known_error() -> None:
    error = QuotaExceeded("bytes_per_day", "you have written too much", 90.0)
    assert isinstance(error, ChatError)
    assert error.text == "you have written too much today: try again in 2 min"
