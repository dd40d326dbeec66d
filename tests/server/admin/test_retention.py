"""Retention, set on one node: what clients find afterwards, on another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from admin_peer import AdminPeer, administered, needs_linux
from patience import eventually
from peers import RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    CreateRoom,
    Error,
    History,
    HistoryPage,
    Position,
    Send,
    Sent,
    Sync,
    Synced,
)

pytestmark = [pytest.mark.trio, needs_linux]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[RunningServer, AdminPeer]]:
    """The admin socket of a server, and, on Redis, another node."""
    if request.param == "sqlite":
        async with administered(tmp_path) as both:
            yield both
        return
    redis: RedisServer = request.getfixturevalue("redis_server")
    store = Nodes(redis).url()
    async with (
        administered(tmp_path, store=store) as (_, admin),
        running_server(config(store=store)) as other,
    ):
        yield other, admin


async def test_room_keeps_what_its_rule_says(place: tuple[RunningServer, AdminPeer]) -> None:
    server, admin = place
    async with server.peer("mei", "log") as mei:
        await mei.ask(CreateRoom(room="#Den"), Sent)
        for number in range(60):
            await mei.ask(Send(to="#Den", text=f"{number}"), Sent)
        first = await mei.ask(History(conv="#Den", after=0, limit=1), HistoryPage)
        shown = await admin.ask("retention set", "space", scope="#den", entries=10)
        assert shown == {"rules": [{"scope": "#den", "days": 0, "entries": 10}]}

        async def shortened() -> HistoryPage | None:
            page = await mei.ask(History(conv="#Den", limit=50), HistoryPage)
            return page if page.base == 51 else None

        page = await eventually(shortened)
        assert page is not None
        assert [entry.seq for entry in page.entries] == list(range(52, 62))
        assert (page.older, page.head) == (False, 61)
        before = await mei.ask(History(conv="#Den", before=52), HistoryPage)
        assert (before.entries, before.older, before.newer, before.base) == ((), False, True, 51)
        position = Position(conv="#Den", epoch=first.epoch, seq=1, ts=first.entries[0].ts)
        synced = await mei.ask(Sync(have=(position,), limit=100), Synced)
        (den,) = [one for one in synced.conversations if one.conv == "#Den"]
        assert (den.reset, [one.seq for one in den.entries]) == (False, list(range(52, 62)))
        reply = await mei.ask(Send(to="#Den", text="to that", reply_to=51), Error)
        assert reply.code == "unknown_message"


async def test_rules_are_set_shown_cleared_and_recorded(tmp_path: Path) -> None:
    async with administered(tmp_path) as (_, admin):
        await admin.ask("retention set", scope="#lobby", days=30)
        await admin.ask("retention set", scope="private", all=True)
        shown = await admin.ask("retention set", "policy 7", scope="default", days=365, entries=9)
        assert shown == {
            "rules": [
                {"scope": "default", "days": 365, "entries": 9},
                {"scope": "private", "days": 0, "entries": 0},
                {"scope": "#lobby", "days": 30, "entries": 0},
            ]
        }
        await admin.ask("retention clear", scope="default")
        assert len((await admin.ask("retention show"))["rules"]) == 2
        assert await admin.refused("retention clear", scope="default") == "bad_request"
        assert await admin.refused("retention set", scope="default") == "bad_request"
        assert await admin.refused("retention set", scope="mei", days=1) == "bad_request"
        assert await admin.refused("retention set", scope="#no", days=1) == "unknown_conversation"
        assert await admin.refused("retention set", scope="default", days=1, all=True) == (
            "bad_request"
        )
        acts = (await admin.ask("audit"))["acts"]
        assert [(one["act"], one["subject"], one["detail"]) for one in reversed(acts)] == [
            ("retention set", "#lobby", "30 days"),
            ("retention set", "private", "everything is kept"),
            ("retention set", "default", "365 days, 9 entries"),
            ("retention clear", "default", ""),
        ]
