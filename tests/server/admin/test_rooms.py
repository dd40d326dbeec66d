"""The command about rooms: who is in one learns of it, and the audit log has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from admin_peer import administered, needs_linux

from gochat.protocol.messages import (
    Conversation,
    CreateRoom,
    Leave,
    Message,
    Sent,
    SetTopic,
    Sync,
    Synced,
)

pytestmark = [pytest.mark.trio, needs_linux]


async def test_room_that_everybody_has_left_is_handed_over(tmp_path: Path) -> None:
    async with (
        administered(tmp_path) as (server, admin),
        server.peer("mei", "log") as mei,
        server.peer("eve", "log") as eve,
    ):
        await mei.ask(CreateRoom(room="#den", private=True), Sent)
        await mei.ask(Leave(room="#den"), Sent)
        given = await admin.ask("room hand-over", "she asked", room="#den", name="@eve")
        assert given == {"room": "#den", "name": "eve", "changed": True}
        entry = await eve.expect(Message, lambda one: one.kind == "hand_over")
        assert (entry.to, entry.from_) == ("#den", "eve")
        await eve.ask(SetTopic(room="#den", topic="mine"), Sent)
        synced = await eve.ask(Sync(), Synced)
        (den,) = [one for one in synced.conversations if one.conv == "#den"]
        assert isinstance(den, Conversation)
        assert den.operator
        again = await admin.ask("room hand-over", room="#den", name="eve")
        assert not again["changed"]
        assert await admin.refused("room hand-over", room="#x", name="eve") == (
            "unknown_conversation"
        )
        acts = (await admin.ask("audit"))["acts"]
        assert [(one["act"], one["subject"], one["reason"]) for one in acts][-1] == (
            "room hand-over",
            "eve",
            "she asked",
        )
