"""Logging in and out, lost connections, and what waits meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from chat_worlds import ADDRESS, World, own
from peers import PASSWORD

from gochat.client import (
    AlreadyLoggedIn,
    ChatError,
    ConnectionLost,
    ConnectionState,
    InvalidRequest,
    Message,
    NewLogin,
    OutboxFull,
    OutgoingChanged,
    OutgoingState,
    Presence,
    Reset,
    RoleChanged,
    StateChanged,
    Status,
    Synchronised,
)
from gochat.errors import ErrorCode

pytestmark = pytest.mark.anyio

OFFLINE, CONNECTING = ConnectionState.OFFLINE, ConnectionState.CONNECTING
CONNECTED, RECONNECTING = ConnectionState.CONNECTED, ConnectionState.RECONNECTING


def states(world: World) -> list[ConnectionState]:
    return [e.state for e in world.events.all if isinstance(e, StateChanged)]


async def test_before_the_first_login_nothing_is_known(world: World) -> None:
    ada = world.ada
    assert ada.state is OFFLINE
    assert (ada.name, ada.token, ada.token_expires) == (None, None, None)
    assert (ada.limits, ada.server, ada.outbox) == (None, None, ())
    with pytest.raises(ConnectionLost, match="not connected"):
        await ada.rooms()


async def test_login_is_followed_by_a_complete_snapshot(world: World) -> None:
    ada = world.ada
    world.arrive("mei")
    await ada.log_in("ada", PASSWORD)
    assert ada.state is CONNECTED
    assert ada.name == "ada"
    assert ada.token
    assert ada.token_expires
    assert ada.token_expires > datetime.now(UTC)
    assert ada.limits
    assert ada.limits.text_chars == 4000
    assert (ada.server or "").startswith("gochat ")
    assert ada.role == "member"
    connecting, connected, synchronised = [await world.events.next() for _ in range(3)]
    assert connecting == StateChanged(CONNECTING)
    assert connected == StateChanged(CONNECTED)
    assert isinstance(synchronised, Synchronised)
    assert [p.name for p in synchronised.people] == ["ada", "mei"]
    assert [c.name for c in synchronised.conversations] == ["#lobby"]


async def test_name_is_spelled_as_registered(world: World) -> None:
    await world.ada.log_in("ADA", PASSWORD)
    assert world.ada.name == "ada"


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong password"), ("nobody", PASSWORD)])
async def test_wrong_password_ends_offline(world: World, name: str, password: str) -> None:
    with pytest.raises(ChatError) as caught:
        await world.ada.log_in(name, password)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CREDENTIALS, "password")
    assert await world.events.next() == StateChanged(CONNECTING)
    assert await world.events.next() == StateChanged(OFFLINE, None, caught.value.text)
    assert (world.ada.state, world.ada.name) == (OFFLINE, None)


async def test_second_login_is_refused(chat: World) -> None:
    with pytest.raises(AlreadyLoggedIn):
        await chat.ada.log_in("ada", PASSWORD)
    assert chat.ada.state is CONNECTED


async def test_registered_account_can_log_in(world: World) -> None:
    assert await world.ada.register("Grace", PASSWORD) == "Grace"
    assert world.ada.state is OFFLINE
    await world.ada.log_in("grace", PASSWORD)
    assert world.ada.name == "Grace"


@pytest.mark.parametrize(
    ("name", "password", "code", "field"),
    [
        ("ADA", PASSWORD, ErrorCode.NAME_TAKEN, "name"),
        ("a b", PASSWORD, ErrorCode.BAD_NAME, "name"),
        ("", PASSWORD, ErrorCode.BAD_NAME, "name"),
        ("x" * 33, PASSWORD, ErrorCode.BAD_NAME, "name"),
        ("grace", "short", ErrorCode.BAD_PASSWORD, "password"),
    ],
)
async def test_refused_registration_names_the_field(
    world: World, name: str, password: str, code: ErrorCode, field: str
) -> None:
    with pytest.raises(ChatError) as caught:
        await world.ada.register(name, password)
    assert (caught.value.code, caught.value.field) == (code, field)


async def test_token_resumes_until_it_is_revoked(chat: World) -> None:
    ada, events = chat.ada, chat.events
    token = ada.token or ""
    await ada.log_out()
    assert await events.next_of(StateChanged) == StateChanged(OFFLINE, None, "logged out")
    assert (ada.state, ada.name, ada.token, ada.token_expires) == (OFFLINE, None, None, None)
    with pytest.raises(ChatError) as caught:
        await ada.resume(token)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_TOKEN, "token")
    assert await events.next() == StateChanged(CONNECTING)
    assert await events.next() == StateChanged(OFFLINE, None, caught.value.text)


async def test_sessions_are_listed_by_their_devices_and_ended(world: World) -> None:
    ada = world.ada
    await ada.log_in("ada", PASSWORD, device="phone")
    phone = ada.token or ""
    (listed,) = await ada.sessions()
    assert (listed.device, listed.this, listed.online) == ("phone", True, True)
    world.log_in_elsewhere()
    own, other = await ada.sessions()
    assert (own, other.address, other.this) == (listed, ADDRESS, False)
    await ada.end_session(other.id)
    assert await ada.sessions() == [listed]
    for unknown in (other.id, "nonsense"):
        with pytest.raises(ChatError) as caught:
            await ada.end_session(unknown)
        assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_REQUEST, "id")
    await ada.end_session(own.id)
    await world.events.next_of(StateChanged, lambda e: e.state is OFFLINE)
    with pytest.raises(ChatError) as caught:
        await ada.resume(phone)
    assert caught.value.code == ErrorCode.BAD_TOKEN


async def test_password_change_keeps_the_device_and_ends_the_others(chat: World) -> None:
    chat.log_in_elsewhere()
    await chat.ada.change_password(PASSWORD, "another horse")
    assert [s.this for s in await chat.ada.sessions()] == [True]


async def test_messages_sent_between_two_logins_are_history(chat: World) -> None:
    await chat.ada.log_out()
    chat.say("#lobby", "mei", "meanwhile")
    await chat.ada.log_in("ada", PASSWORD)
    synchronised = await chat.events.next_of(Synchronised)
    assert synchronised.conversations[0].unread == 1
    chat.say("#lobby", "mei", "now")
    assert (await chat.events.next_of(Message)).text == "now"


async def test_password_is_changed(chat: World) -> None:
    ada = chat.ada
    token = ada.token
    assert await ada.change_password(PASSWORD, "a better password")
    assert ada.token
    assert ada.token != token
    assert ada.state is CONNECTED
    await ada.log_out()
    with pytest.raises(ChatError):
        await ada.log_in("ada", PASSWORD)
    await ada.log_in("ada", "a better password")


@pytest.mark.parametrize(
    ("old", "new", "code", "field"),
    [
        ("wrong password", "a better password", ErrorCode.BAD_CREDENTIALS, "old"),
        (PASSWORD, "short", ErrorCode.BAD_PASSWORD, "new"),
    ],
)
async def test_password_change_is_refused(
    chat: World, old: str, new: str, code: ErrorCode, field: str
) -> None:
    with pytest.raises(ChatError) as caught:
        await chat.ada.change_password(old, new)
    assert (caught.value.code, caught.value.field) == (code, field)


async def test_login_from_elsewhere_is_reported(chat: World) -> None:
    chat.log_in_elsewhere()
    assert await chat.events.next_of(NewLogin) == NewLogin(address=ADDRESS, by="password")


async def test_new_role_is_reported_at_once_and_after_a_cut(chat: World) -> None:
    """What a login begins with is no change."""
    ada, events = chat.ada, chat.events
    roles: list[str] = [ada.role]
    chat.promote("moderator")
    assert await events.next_of(RoleChanged) == RoleChanged(role="moderator", before="member")
    roles.append(ada.role)
    await ada.log_out()
    await ada.log_in("ada", PASSWORD)
    await events.next_of(Synchronised)
    chat.cut()
    await events.next_of(StateChanged)
    chat.promote("admin")
    ada.reconnect_now()
    assert await events.next_of(RoleChanged) == RoleChanged(role="admin", before="moderator")
    assert events.all[-2] == StateChanged(CONNECTED)
    roles.append(ada.role)
    await events.next_of(Synchronised)
    assert sum(isinstance(event, RoleChanged) for event in events.all) == 2
    assert roles == ["member", "moderator", "admin"]


async def test_reconnect_yields_state_snapshot_and_missed_entries(
    chat: World,
) -> None:
    ada, events = chat.ada, chat.events
    chat.say("#lobby", "mei", "before")
    await events.next_of(Message)
    chat.cut()
    lost = await events.next_of(StateChanged)
    assert lost.state is RECONNECTING
    assert lost.retry_in is not None
    assert lost.reason
    chat.say("#lobby", "mei", "missed")
    chat.say("@mei", "mei", "missed, too")
    ada.reconnect_now()
    assert await events.next() == StateChanged(RECONNECTING, None, lost.reason)
    assert await events.next() == StateChanged(CONNECTED)
    synchronised = await events.next()
    assert isinstance(synchronised, Synchronised)
    heads = {c.name: (c.head, c.unread) for c in synchronised.conversations}
    assert heads == {"#lobby": (2, 2), "@mei": (1, 1)}
    missed = [await events.next_of(Message) for _ in range(2)]
    assert {(m.conversation, m.text) for m in missed} == {
        ("#lobby", "missed"), ("@mei", "missed, too"),
    }  # fmt: skip
    assert ada.state is CONNECTED


async def test_newest_page_replaces_the_log_after_a_long_outage(chat: World) -> None:
    chat.say("#lobby", "mei", "before")
    await chat.events.next_of(Message)
    chat.cut()
    await chat.events.next_of(StateChanged)
    for number in range(501):
        chat.say("#lobby", "mei", f"missed {number}")
    chat.ada.reconnect_now()
    await chat.events.next_of(Synchronised)
    reset = await chat.events.next_of(Reset)
    assert reset.conversation == "#lobby"
    newest = reset.entries[-1]
    assert isinstance(newest, Message)
    assert newest.text == "missed 500"
    seqs = [entry.seq for entry in reset.entries]
    assert seqs == list(range(seqs[0], 503))
    assert not any(isinstance(event, Message) for event in chat.events.all[-3:])
    chat.say("#lobby", "mei", "after")
    assert (await chat.events.next_of(Message)).seq == 503


async def test_request_waits_for_the_reconnect(chat: World) -> None:
    chat.cut()
    await chat.events.next_of(StateChanged)
    chat.ada.reconnect_now()
    assert [person.name for person in await chat.ada.who()] == ["ada", "mei", "tomas"]


async def test_message_sent_while_disconnected_waits_in_the_outbox(chat: World) -> None:
    ada, events = chat.ada, chat.events
    chat.cut()
    await events.next_of(StateChanged)
    sent = [ada.send("#lobby", text) for text in ("one", "two")]
    assert ada.outbox == tuple(sent)
    assert {outgoing.state for outgoing in sent} == {OutgoingState.PENDING}
    chat.say("#lobby", "mei", "said before them")
    ada.reconnect_now()
    await events.next_of(Synchronised)
    first = await events.next_of(Message)
    assert first.text == "said before them"
    for outgoing in sent:
        changed = await events.next_of(OutgoingChanged)
        assert changed.outgoing is outgoing
        assert (await events.next_of(Message)).cid == outgoing.cid
    assert ada.outbox == ()


async def test_message_written_before_the_login_is_sent_after_it(world: World) -> None:
    outgoing = world.ada.send("#lobby", "early")
    assert (outgoing.sender, world.ada.outbox) == (None, (outgoing,))
    await world.ada.log_in("ada", PASSWORD)
    assert (await world.events.next_of(OutgoingChanged)).outgoing.sender == "ada"
    assert (await world.events.next_of(Message, own)).text == "early"


async def test_outbox_has_a_bound(world: World) -> None:
    for _ in range(1000):
        world.ada.send("#lobby", "again")
    with pytest.raises(OutboxFull):
        world.ada.send("#lobby", "once too often")


async def test_ended_session_is_offline_until_the_next_login(chat: World) -> None:
    ada, events = chat.ada, chat.events
    chat.end()
    ended = await events.next_of(StateChanged)
    assert (ended.state, ended.retry_in) == (OFFLINE, None)
    assert ended.reason
    assert (ada.state, ada.name, ada.token) == (OFFLINE, "ada", None)
    with pytest.raises(ConnectionLost, match="not connected"):
        await ada.who()
    waiting = ada.send("#lobby", "kept")
    chat.say("#lobby", "mei", "meanwhile")
    await ada.log_in("ada", PASSWORD)
    texts = [(await events.next_of(Message)).text for _ in range(2)]
    assert texts == ["meanwhile", "kept"]
    changed = [event.outgoing for event in events.all if isinstance(event, OutgoingChanged)]
    assert changed == [waiting]


async def test_people_come_and_go(chat: World) -> None:
    def of_zoe(presence: Presence) -> bool:
        return "zoe" in presence.offline or "zoe" in {p.name for p in presence.online}

    chat.arrive("zoe")
    arrived = await chat.events.next_of(Presence, of_zoe)
    assert [p.name for p in arrived.online if p.name == "zoe"] == ["zoe"]
    assert [p.name for p in await chat.ada.who()] == ["ada", "mei", "tomas", "zoe"]
    chat.depart("zoe")
    left = await chat.events.next_of(Presence, of_zoe)
    assert left.offline == ("zoe",)
    assert [p.name for p in await chat.ada.who()] == ["ada", "mei", "tomas"]


@pytest.mark.parametrize("text", ["at lunch", None])
async def test_away_notice_is_seen_by_everyone(chat: World, text: str | None) -> None:
    await chat.ada.away("soon")
    await chat.ada.away(text)
    people = {p.name: p.away for p in await chat.ada.who()}
    assert people == {"ada": text, "mei": None, "tomas": None}
    while True:
        presence = await chat.events.next_of(Presence)
        if [(p.name, p.away) for p in presence.online if p.name == "ada"] == [("ada", text)]:
            break


async def test_status_is_seen_by_everyone_also_of_who_is_offline(chat: World) -> None:
    await chat.ada.set_status(" on holiday ", emoji="🌴")
    said = Status(emoji="🌴", text="on holiday")

    def has_it(presence: Presence) -> bool:
        return any(p.name == "ada" and p.status == said for p in presence.online)

    await chat.events.next_of(Presence, has_it)
    assert [p.name for p in await chat.ada.who() if p.status == said] == ["ada"]
    assert await chat.ada.statuses(["ada", "mei"]) == {"ada": said}
    with pytest.raises(ChatError, match="80 characters"):
        await chat.ada.set_status("x" * 81)
    with pytest.raises(InvalidRequest, match="one line"):
        await chat.ada.set_status("two\nlines")
    await chat.ada.set_status("soon back", duration=timedelta(hours=1))
    found = (await chat.ada.statuses(["ada"]))["ada"]
    assert (found.text, found.emoji) == ("soon back", "")
    assert found.until is not None
    await chat.ada.set_status("")
    assert await chat.ada.statuses(["ada"]) == {}


async def test_server_info_is_known_before_and_after_the_login(world: World) -> None:
    before = await world.ada.server_info()
    assert (before.motd, before.protocol, before.registration) == ("", 1, "open")
    await world.ada.log_in("ada", PASSWORD)
    assert await world.ada.server_info() == before
    assert world.ada.limits == before.limits
