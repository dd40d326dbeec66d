"""Rooms: their members, and who may do what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from chat_worlds import World, own, told
from peers import PASSWORD

from gochat.client import (
    AccessChanged,
    ActivityChanged,
    AnnouncementsChanged,
    ArchiveChanged,
    ChatError,
    Entry,
    HistoryChanged,
    InvitationDeclined,
    Invited,
    Message,
    MessageId,
    MessagesReported,
    OperatorAdded,
    OperatorRemoved,
    PersonBanned,
    PersonBlocked,
    PersonInvited,
    PersonJoined,
    PersonKicked,
    PersonLeft,
    PersonUnbanned,
    PersonUnblocked,
    ReactionRemoved,
    ReportClosed,
    Room,
    RoomCreated,
    RoomHandedOver,
    SlowModeChanged,
    Synchronised,
    TopicChanged,
    Uninvited,
)
from gochat.errors import ErrorCode
from gochat.protocol.messages import EntryKind
from gochat.tui.actions.client import ChatClient

pytestmark = pytest.mark.anyio


async def listed(world: World) -> dict[str, Room]:
    return {room.name: room for room in await world.ada.rooms()}


async def members(world: World, room: str) -> list[tuple[str, bool, bool]]:
    return [(m.name, m.operator, m.online) for m in await world.ada.members(room)]


async def entries(world: World, room: str) -> list[tuple[str, str, str]]:
    page = await world.ada.history(room)
    return [(entry.sender, *told(entry)) for entry in page.entries]


async def test_room_is_created(chat: World) -> None:
    sent = await chat.ada.create_room("#garden", topic="Plants", private=True)
    assert sent.conversation == "#garden"
    create = await chat.events.next_of(RoomCreated)
    assert (create.seq, create.conversation) == (sent.seq, "#garden")
    assert (create.sender, create.is_own, create.private) == ("ada", True, True)
    assert create.cid
    topic = await chat.events.next_of(TopicChanged)
    assert (topic.sender, topic.topic) == ("ada", "Plants")
    assert (await listed(chat))["#garden"] == Room(
        name="#garden", topic="Plants", members=1, private=True, joined=True
    )
    assert await members(chat, "#garden") == [("ada", True, True)]
    garden = next(c for c in await chat.ada.conversations() if c.name == "#garden")
    assert (garden.topic, garden.operator, garden.private) == ("Plants", True, True)
    assert garden.head == 2


async def test_visible_rooms_are_listed(chat: World) -> None:
    chat.room("#secret", operator="mei", private=True)
    chat.room("#music", operator="mei", members=["tomas"], topic="Tunes")
    chat.room("#design", operator="tomas")
    chat.account("zoe")
    assert await chat.ada.rooms() == [
        Room(name="#design", members=1),
        Room(name="#lobby", members=4, joined=True),  # everyone with an account
        Room(name="#music", topic="Tunes", members=2),
    ]


async def test_messages_arrive_from_a_joined_room(chat: World) -> None:
    chat.room("#music", operator="mei", members=["tomas"])
    chat.say("#music", "mei", "not for ada")
    sent = await chat.ada.join("#music")
    assert sent is not None
    joined = await chat.events.next_of(PersonJoined)
    assert (joined.sender, joined.conversation, joined.seq) == ("ada", "#music", sent.seq)
    chat.say("#music", "tomas", "hello ada")
    assert (await chat.events.next_of(Message)).text == "hello ada"
    assert await members(chat, "#music") == [
        ("ada", False, True), ("mei", True, True), ("tomas", False, True),
    ]  # fmt: skip
    music = next(c for c in await chat.ada.conversations() if c.name == "#music")
    assert (music.operator, music.unread, music.read) == (False, 1, sent.seq)


async def test_nothing_arrives_from_a_left_room(chat: World) -> None:
    chat.room("#music", operator="mei")
    await chat.ada.join("#music")
    sent = await chat.ada.leave("#music")
    left = await chat.events.next_of(PersonLeft)
    assert (left.seq, left.sender) == (sent.seq, "ada")
    chat.say("#music", "mei", "not for ada")
    chat.say("#lobby", "mei", "for all")
    assert (await chat.events.next_of(Message)).text == "for all"
    assert not (await listed(chat))["#music"].joined
    assert [c.name for c in await chat.ada.conversations()] == ["#lobby"]


async def test_last_operator_hands_over(chat: World) -> None:
    await chat.ada.create_room("#garden")
    chat.say("#garden", "tomas", "", kind="join")
    chat.say("#garden", "mei", "", kind="join")
    sent = await chat.ada.leave("#garden")
    left = await chat.events.next_of(PersonLeft)
    assert left.seq == sent.seq
    before = [e for e in chat.events.all if isinstance(e, Entry)][-2]
    assert isinstance(before, OperatorAdded)
    assert (before.name, before.sender) == ("tomas", "ada")
    await chat.ada.join("#garden")
    assert ("tomas", True, True) in await members(chat, "#garden")


async def test_invitation_opens_a_private_room(chat: World) -> None:
    chat.room("#secret", operator="mei", private=True)
    chat.say("#secret", "mei", "ada", kind="invite")
    invitation = (await chat.events.next_of(Invited)).invitation
    assert (invitation.room, invitation.sender) == ("#secret", "mei")
    chat.say("#secret", "mei", "not yet for ada")
    await chat.ada.join("#secret")
    joined = await chat.events.next_of(Entry)
    assert isinstance(joined, PersonJoined)
    assert joined.is_own
    assert (await chat.events.next_of(Uninvited)).room == "#secret"
    assert (await listed(chat))["#secret"].private


async def test_pending_invitations_are_in_the_snapshot_of_the_next_login(chat: World) -> None:
    chat.room("#secret", operator="mei", topic="shh", private=True)
    await chat.ada.log_out()
    chat.say("#secret", "mei", "ada", kind="invite")
    await chat.ada.log_in("ada", PASSWORD)
    snapshot = await chat.events.next_of(Synchronised)
    (invitation,) = snapshot.invitations
    assert (invitation.room, invitation.sender, invitation.topic) == ("#secret", "mei", "shh")
    assert [one.name for one in snapshot.conversations] == ["#lobby"]


async def test_declined_invitation_is_gone_and_the_members_see_it(chat: World) -> None:
    chat.room("#secret", operator="mei", private=True)
    chat.say("#secret", "mei", "ada", kind="invite")
    await chat.events.next_of(Invited)
    await chat.ada.decline("#Secret")
    assert (await chat.events.next_of(Uninvited)).room == "#secret"
    await chat.ada.decline("#secret")
    with pytest.raises(ChatError):
        await chat.ada.join("#secret")
    chat.say("#secret", "mei", "ada", kind="invite")
    await chat.events.next_of(Invited)
    await chat.ada.join("#secret")
    page = await chat.ada.history("#secret")
    assert [type(entry) for entry in page.entries if entry.is_own] == [
        InvitationDeclined, PersonJoined,
    ]  # fmt: skip
    assert not [e for e in chat.events.all if isinstance(e, InvitationDeclined)]


async def test_operator_invites_removes_and_promotes(chat: World) -> None:
    await chat.ada.create_room("#garden", private=True)
    await chat.events.next_of(RoomCreated)

    async def own_entry() -> tuple[type, str]:
        entry = await chat.events.next_of(Entry, own)
        assert entry.cid
        return type(entry), told(entry)[1]

    await chat.ada.invite("#garden", "mei")
    assert await own_entry() == (PersonInvited, "mei")
    chat.say("#garden", "mei", "", kind="join")
    await chat.ada.set_operator("#garden", "mei")
    assert await own_entry() == (OperatorAdded, "mei")
    assert await members(chat, "#garden") == [("ada", True, True), ("mei", True, True)]
    await chat.ada.set_operator("#garden", "ADA", on=False)
    assert await own_entry() == (OperatorRemoved, "ada")
    assert not next(c for c in await chat.ada.conversations() if c.name == "#garden").operator
    chat.say("#garden", "mei", "ada", kind="operator")
    await chat.ada.set_operator("#garden", "MEI", on=False)
    assert await own_entry() == (OperatorRemoved, "mei")
    assert await members(chat, "#garden") == [("ada", True, True), ("mei", False, True)]
    await chat.ada.kick("#garden", "mei")
    assert await own_entry() == (PersonKicked, "mei")
    assert await members(chat, "#garden") == [("ada", True, True)]


async def test_operator_bans_and_lifts_the_ban(chat: World) -> None:
    chat.room("#garden", operator="mei")
    await chat.ada.join("#garden")
    chat.say("#garden", "mei", "ada", kind="operator")
    hour = timedelta(hours=1)
    await chat.ada.ban("#garden", "mei", duration=hour, reason="spam")
    banned = await chat.events.next_of(PersonBanned)
    assert (banned.name, banned.duration, banned.reason, banned.is_own) == (
        "mei", hour, "spam", True,
    )  # fmt: skip
    assert await members(chat, "#garden") == [("ada", True, True)]
    (ban,) = await chat.ada.bans("#garden")
    assert (ban.name, ban.sender, ban.reason) == ("mei", "ada", "spam")
    assert ban.until == ban.time + hour
    await chat.ada.ban("#garden", "mei")
    assert (await chat.events.next_of(PersonBanned)).duration is None
    assert await chat.ada.ban("#garden", "mei") is None
    with pytest.raises(ChatError) as caught:
        await chat.ada.invite("#garden", "mei")
    assert (caught.value.code, caught.value.field) == (ErrorCode.NOT_PERMITTED, "name")
    await chat.ada.unban("#garden", "MEI")
    assert (await chat.events.next_of(PersonUnbanned)).name == "mei"
    assert await chat.ada.unban("#garden", "mei") is None
    assert await chat.ada.bans("#garden") == []
    chat.say("#garden", "mei", "", kind="join")
    assert not (await chat.events.next_of(PersonJoined)).is_own


async def test_operator_sets_the_modes_of_a_room(chat: World) -> None:
    await chat.ada.create_room("#garden")
    minute, none = timedelta(minutes=1), timedelta(0)
    await chat.ada.set_slow_mode("#garden", minute)
    assert (await chat.events.next_of(SlowModeChanged)).interval == minute
    assert await chat.ada.set_slow_mode("#garden", minute) is None
    await chat.ada.set_announcements("#garden", on=True)
    assert (await chat.events.next_of(AnnouncementsChanged)).on
    await chat.ada.set_archived("#garden", on=True)
    assert (await chat.events.next_of(ArchiveChanged)).archived
    garden = next(c for c in await chat.ada.conversations() if c.name == "#garden")
    assert (garden.slow_mode, garden.announcements, garden.archived) == (minute, True, True)
    assert (await listed(chat))["#garden"].archived
    await chat.ada.set_archived("#garden", on=False)
    await chat.ada.set_announcements("#garden", on=False)
    await chat.ada.set_slow_mode("#garden", none)
    garden = next(c for c in await chat.ada.conversations() if c.name == "#garden")
    assert (garden.slow_mode, garden.announcements, garden.archived) == (none, False, False)


async def test_message_that_a_mode_does_not_permit_fails(chat: World) -> None:
    chat.room("#music", operator="mei")
    await chat.ada.join("#music")
    seq = chat.say("#music", "ada", "hers")
    modes: tuple[EntryKind, ...] = ("announcements", "archive")
    for mode in modes:
        chat.say("#music", "mei", "on", kind=mode)
        with pytest.raises(ChatError) as caught:
            await chat.ada.send("#music", "hello")
        assert caught.value.code == ErrorCode.NOT_PERMITTED
        with pytest.raises(ChatError) as caught:
            await chat.ada.edit(MessageId("#music", seq), "hello")
        assert caught.value.code == ErrorCode.NOT_PERMITTED
    chat.say("#music", "mei", "off", kind="archive")
    chat.say("#music", "mei", "off", kind="announcements")
    await chat.ada.send("#music", "hello")


async def test_room_that_is_handed_over_is_the_persons(chat: World) -> None:
    chat.room("#secret", operator="mei", private=True)
    chat.hand_over("#secret", "ada")
    assert (await chat.events.next_of(RoomHandedOver)).is_own
    secret = next(c for c in await chat.ada.conversations() if c.name == "#secret")
    assert secret.operator
    await chat.ada.set_topic("#secret", "hers")


async def test_person_blocks_somebody(chat: World) -> None:
    chat.account("mei")
    assert await chat.ada.blocked() == []
    await chat.ada.block("@MEI")
    assert (await chat.events.next_of(PersonBlocked)).name == "mei"
    assert await chat.ada.blocked() == ["mei"]
    for name, code in (("nobody", ErrorCode.UNKNOWN_PERSON), ("ada", ErrorCode.BAD_REQUEST)):
        with pytest.raises(ChatError) as caught:
            await chat.ada.block(name)
        assert (caught.value.code, caught.value.field) == (code, "name")
    await chat.ada.unblock("mei")
    assert (await chat.events.next_of(PersonUnblocked)).name == "mei"
    await chat.ada.unblock("mei")
    assert await chat.ada.blocked() == []


async def test_what_concerns_the_person_is_listed_until_it_is_taken_back(chat: World) -> None:
    chat.account("mei")
    own = await chat.ada.send("#lobby", "who has seeds?")
    chat.say("#lobby", "mei", "🌱", kind="react", ref=own.seq)
    await chat.events.next_of(ActivityChanged)
    (item,) = (await chat.ada.activity()).items
    assert (item.kind, item.entry.sender, item.about) == ("reaction", "mei", "who has seeds?")
    await chat.ada.mark_activity(item.time)
    await chat.events.next_of(ActivityChanged)
    assert (await chat.ada.activity()).seen == item.time
    chat.say("#lobby", "mei", "🌱", kind="unreact", ref=own.seq)
    await chat.events.next_of(ReactionRemoved)
    assert (await chat.ada.activity()).items == ()


async def test_moderator_is_notified_of_reports_and_resolves_them(chat: World) -> None:
    seq = chat.say("#lobby", "tomas", "buy my seeds")
    chat.promote()
    chat.report("#lobby", "mei", seq, "spam")
    event = await chat.events.next_of(MessagesReported)
    assert (event.sender, event.names, event.reason) == ("mei", ("tomas",), "spam")
    (report,) = await chat.ada.reports()
    assert (report.id, report.conversation) == (event.id, event.conversation)
    assert [message.text for message in report.messages] == ["buy my seeds"]
    await chat.ada.resolve_report(report.id, note="warned")
    assert (await chat.events.next_of(ReportClosed)).id == report.id
    assert await chat.ada.reports() == []


async def test_admin_bans_addresses_and_lifts_it(chat: World) -> None:
    chat.promote("admin")
    await chat.ada.ban_address("203.0.113.0/24", duration=HOUR, reason="spam")
    await chat.ada.ban_address("2001:db8::1")
    first, second = await chat.ada.address_bans()
    assert (first.network, first.sender, first.reason) == ("203.0.113.0/24", "ada", "spam")
    assert first.until == first.time + HOUR
    assert (second.network, second.until, second.reason) == ("2001:db8::1", None, "")
    await chat.ada.unban_address("203.0.113.0/24")
    assert await chat.ada.address_bans() == [second]


async def test_admin_hands_over_a_public_room(chat: World) -> None:
    chat.room("#music", operator="mei")
    chat.promote("admin")
    await chat.ada.hand_over("#music", "ada", reason="mei has left")
    assert (await chat.events.next_of(RoomHandedOver)).is_own
    assert ("ada", True, True) in await members(chat, "#music")
    await chat.ada.hand_over("#music", "ada")  # who is one already
    assert [kind for _, kind, _ in await entries(chat, "#music")].count("RoomHandedOver") <= 1


async def test_who_is_banned_is_out_and_stays_out(chat: World) -> None:
    chat.room("#music", operator="mei")
    await chat.ada.join("#music")
    chat.say("#music", "mei", "ada", kind="ban")
    assert (await chat.events.next_of(PersonBanned)).name == "ada"
    assert [c.name for c in await chat.ada.conversations()] == ["#lobby"]
    with pytest.raises(ChatError) as caught:
        await chat.ada.join("#music")
    assert (caught.value.code, caught.value.field) == (ErrorCode.BANNED, "room")
    chat.say("#music", "mei", "ada", kind="unban")
    await chat.ada.join("#music")


async def test_operator_sets_topic_and_access(chat: World) -> None:
    await chat.ada.create_room("#garden")
    topic = await chat.ada.set_topic("#garden", "Plants")
    access = await chat.ada.set_access("#garden", private=True)
    assert await entries(chat, "#garden") == [
        ("ada", "create", "public"), ("ada", "topic", "Plants"), ("ada", "access", "private"),
    ]  # fmt: skip
    assert topic is not None
    assert access is not None
    assert (topic.seq, access.seq) == (2, 3)
    garden = next(c for c in await chat.ada.conversations() if c.name == "#garden")
    assert (garden.topic, garden.private) == ("Plants", True)
    own_entries = [await chat.events.next_of(Entry, own) for _ in range(3)]
    assert [entry.seq for entry in own_entries[1:]] == [topic.seq, access.seq]
    await chat.ada.set_access("#garden", private=False, history="shown")
    assert not (await listed(chat))["#garden"].private


async def test_operator_hides_the_history(chat: World) -> None:
    await chat.ada.create_room("#garden", private=True)
    sent = await chat.ada.set_history("#garden", "hidden")
    assert sent is not None
    assert (await entries(chat, "#garden"))[-1] == ("ada", "history", "hidden")
    entry = await chat.events.next_of(HistoryChanged)
    assert (entry.seq, entry.history) == (sent.seq, "hidden")
    with pytest.raises(ChatError) as caught:
        await chat.ada.set_access("#garden", private=False)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_REQUEST, "history")


async def test_what_is_so_already_writes_nothing(chat: World) -> None:
    ada = chat.ada
    chat.room("#music", operator="mei")
    await ada.join("#music")
    await ada.create_room("#garden", topic="Plants", private=True)
    await ada.invite("#garden", "mei")
    await ada.set_history("#garden", "hidden")
    before = await entries(chat, "#garden")
    assert await ada.join("#music") is None
    assert await ada.invite("#garden", "MEI") is None
    assert await ada.set_topic("#garden", "Plants") is None
    assert await ada.set_operator("#garden", "ADA") is None
    assert await ada.set_access("#garden", private=True) is None
    assert await ada.set_history("#garden", "hidden") is None
    assert await entries(chat, "#garden") == before


async def test_operator_actions_on_the_person_arrive(chat: World) -> None:
    chat.room("#music", operator="mei")
    await chat.ada.join("#music")
    await chat.events.next_of(PersonJoined)
    chat.say("#music", "mei", "Tunes", kind="topic")
    chat.say("#music", "mei", "ada", kind="operator")
    chat.say("#music", "mei", "private", kind="access")
    arrived = [await chat.events.next_of(Entry) for _ in range(3)]
    assert [(type(entry), told(entry)[1]) for entry in arrived] == [
        (TopicChanged, "Tunes"), (OperatorAdded, "ada"), (AccessChanged, "private"),
    ]  # fmt: skip
    music = next(c for c in await chat.ada.conversations() if c.name == "#music")
    assert (music.topic, music.operator, music.private) == ("Tunes", True, True)
    seq = chat.say("#music", "mei", "hers")
    await chat.ada.delete(MessageId("#music", seq))  # operators may
    chat.say("#music", "mei", "ada", kind="member")
    chat.say("#music", "mei", "ada", kind="kick")
    kicked = await chat.events.next_of(PersonKicked)
    assert (kicked.conversation, kicked.name) == ("#music", "ada")
    assert [c.name for c in await chat.ada.conversations()] == ["#lobby"]


HOUR = timedelta(hours=1)
Request = Callable[[ChatClient], Awaitable[object]]


#: What ada may not do in these rooms, and how it is refused.
REFUSED: list[tuple[Request, ErrorCode, str | None]] = [
    (lambda ada: ada.create_room("#MUSIC"), ErrorCode.ROOM_EXISTS, "room"),
    (lambda ada: ada.create_room("#lobby"), ErrorCode.ROOM_EXISTS, "room"),
    (lambda ada: ada.create_room("#a b"), ErrorCode.BAD_NAME, "room"),
    (lambda ada: ada.create_room("garden"), ErrorCode.BAD_NAME, "room"),
    (lambda ada: ada.create_room("#x", topic="y" * 201), ErrorCode.TEXT_TOO_LONG, "topic"),
    (lambda ada: ada.join("#nowhere"), ErrorCode.UNKNOWN_CONVERSATION, "room"),
    (lambda ada: ada.join("#secret"), ErrorCode.UNKNOWN_CONVERSATION, "room"),
    (lambda ada: ada.join("#lobby"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.leave("#lobby"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.leave("#other"), ErrorCode.NOT_A_MEMBER, "room"),
    (lambda ada: ada.invite("#music", "nobody"), ErrorCode.UNKNOWN_PERSON, "name"),
    (lambda ada: ada.invite("#music", "mei"), ErrorCode.BAD_REQUEST, "name"),
    (lambda ada: ada.invite("#closed", "tomas"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.kick("#music", "mei"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.kick("#own", "mei"), ErrorCode.NOT_A_MEMBER, "name"),
    (lambda ada: ada.kick("#own", "ada"), ErrorCode.BAD_REQUEST, "name"),
    (lambda ada: ada.ban("#music", "mei"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.ban("#own", "ada"), ErrorCode.BAD_REQUEST, "name"),
    (lambda ada: ada.ban("#own", "nobody"), ErrorCode.UNKNOWN_PERSON, "name"),
    (lambda ada: ada.set_announcements("#music", on=True), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.set_archived("#music", on=True), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.set_slow_mode("#music", HOUR), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.unban("#music", "mei"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.bans("#music"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.restrict("mei", "mute", duration=HOUR), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.unrestrict("mei", "ban"), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.restrictions(), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.ban_address("192.0.2.9"), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.unban_address("192.0.2.9"), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.address_bans(), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.hand_over("#own", "mei"), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.reports(), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.resolve_report(1, note="x"), ErrorCode.NOT_PERMITTED, None),
    (lambda ada: ada.report([MessageId("#lobby", 999)]), ErrorCode.UNKNOWN_MESSAGE, "seqs"),
    (lambda ada: ada.set_topic("#music", "x"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.set_topic("#own", "x" * 201), ErrorCode.TEXT_TOO_LONG, "topic"),
    (lambda ada: ada.set_operator("#music", "mei"), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.set_operator("#own", "mei"), ErrorCode.NOT_A_MEMBER, "name"),
    (lambda ada: ada.set_operator("#own", "ada", on=False), ErrorCode.BAD_REQUEST, "name"),
    (lambda ada: ada.set_access("#music", private=True), ErrorCode.NOT_PERMITTED, "room"),
    (lambda ada: ada.members("#other"), ErrorCode.NOT_A_MEMBER, "room"),
    (lambda ada: ada.members("#lobby"), ErrorCode.BAD_REQUEST, "room"),
]


async def test_requests_are_refused_with_code_and_field(chat: World) -> None:
    chat.room("#music", operator="mei")
    chat.room("#other", operator="mei")
    chat.room("#secret", operator="mei", private=True)
    chat.room("#closed", operator="mei", private=True)
    chat.say("#closed", "mei", "ada", kind="invite")
    await chat.ada.join("#closed")
    await chat.ada.join("#music")
    await chat.ada.create_room("#own")
    answers = []
    for request, _, _ in REFUSED:
        with pytest.raises(ChatError) as caught:
            await request(chat.ada)
        answers.append((caught.value.code, caught.value.field))
    assert answers == [(code, field) for _, code, field in REFUSED]
