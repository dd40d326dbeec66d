"""Who gets what the log commits, in how many posts, and from when on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from peers import messages_in
from trio.testing import MockClock

from gochat.chat import conversations, names
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.grants import EVERYTHING
from gochat.chat.log import Batch, Logged
from gochat.chat.names import NameKey
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Capability,
    EntryKind,
    Event,
    Invited,
    IsTyping,
    Marked,
    Message,
    Payload,
    Person,
    Presence,
    ServerMessage,
    ServerRole,
    Status,
    Uninvited,
)
from gochat.server.delivery import Delivery
from gochat.server.hub import Hub, OnlinePerson
from gochat.server.limits import WriteLimiter
from gochat.server.posting import Sink
from gochat.server.presence_updates import AT_ONCE

pytestmark = pytest.mark.trio

GARDEN = ConversationKey("#garden")


class Flushes(Delivery):
    """A delivery that writes nothing, and counts its flushes."""

    def __init__(self) -> None:
        self.count = 0

    def flush(self) -> None:
        self.count += 1


class Session:
    """A logged-in session, as the hub sees it, and what was posted to it."""

    is_behind = False

    def __init__(self, *caps: str) -> None:
        self.events: Sink = self
        self.caps = frozenset(caps)
        self.wants_log = Capability.LOG in self.caps
        self.grant = EVERYTHING
        self.role: ServerRole | None = None
        self.posts: list[bytes] = []
        self.sent_at_once = 0  # of the posts, those sent at once
        self.delivered: list[tuple[ConversationKey, int]] = []
        self.person: OnlinePerson

    def post(self, frames: bytes) -> None:
        if frames:
            self.posts.append(frames)

    def send(self, frames: bytes) -> None:
        self.post(frames)
        self.sent_at_once += bool(frames)

    def post_private(
        self, conversation: ConversationKey, entries: Sequence[Message], frames: Sequence[bytes]
    ) -> None:
        said = [
            (entry.seq, frame)
            for entry, frame in zip(entries, frames, strict=True)
            if entry.kind == "text" and entry.from_ != self.person.name
        ]
        if said:
            self.post(b"".join(frame for _, frame in said))
            self.delivered.append((conversation, said[-1][0]))

    @property
    def received(self) -> list[ServerMessage]:
        return messages_in(b"".join(self.posts))

    @property
    def heard(self) -> list[str]:
        """Return the log entries posted to it, abbreviated."""
        return [
            f"{entry.kind} {entry.text}".strip()
            for entry in self.received
            if isinstance(entry, Message)
        ]


class Chat:
    """A hub, the people on it, and a log that commits what the test writes."""

    def __init__(self) -> None:
        self.delivery = Flushes()
        self.hub = Hub(self.delivery, write_limiter=WriteLimiter(10, 5))
        self._seqs: dict[ConversationKey, Iterator[int]] = {}

    def join(
        self, name: str, *caps: str, rooms: Sequence[ConversationKey] = (), floor: int = 0
    ) -> Session:
        session = Session(*caps)
        session.person = self.hub.join(session, names.fold(name), name)
        self.hub.enter(session.person, dict.fromkeys(rooms, floor))
        return session

    def leave(self, session: Session) -> None:
        self.hub.leave(session, session.person)

    def logged(self, who: str, to: str, text: str = "", **fields: Any) -> Logged:
        """Return an entry, about a person if `subject` is given."""
        key = conversations.key(to, names.fold(who))
        subject = fields.pop("subject", None)
        seq = next(self._seqs.setdefault(key, count(1)))
        entry = Message(to=to, epoch="e", seq=seq, ts=seq, from_=who, text=text, **fields)
        return Logged(key, entry, None if subject is None else names.fold(subject))

    def commit(self, *logged: Logged) -> None:
        self.hub.deliver(Batch(logged))

    def say(self, who: str, to: str, text: str = "", **fields: Any) -> None:
        self.commit(self.logged(who, to, text, **fields))


@pytest.fixture
async def chat() -> Chat:
    return Chat()


# -- audiences ------------------------------------------------------------------------------------


async def test_posts_of_one_pass_are_one_write(
    chat: Chat,
) -> None:
    mei, bob = chat.join("mei", rooms=[GARDEN]), chat.join("bob")
    chat.commit(
        chat.logged("ann", "#lobby", "one"),
        chat.logged("ann", "#lobby", "two"),
        chat.logged("ann", "#garden", "three"),
    )
    assert (len(mei.posts), mei.sent_at_once) == (2, 1)
    assert (len(bob.posts), bob.sent_at_once) == (1, 0)
    chat.say("ann", "#lobby", "four")
    assert (bob.sent_at_once, chat.delivery.count) == (1, 2)
    assert mei.heard == ["text one", "text two", "text three", "text four"]
    assert bob.heard == ["text one", "text two", "text four"]


async def test_lobby_entries_go_to_everyone(chat: Chat) -> None:
    sessions = [chat.join(name) for name in ("mei", "bob", "eve")]
    chat.say("ann", "#lobby", "hi")
    assert [session.heard for session in sessions] == [["text hi"]] * 3


async def test_room_entries_go_only_to_members(chat: Chat) -> None:
    mei, bob = (chat.join(name, "log", rooms=[GARDEN]) for name in ("mei", "bob"))
    eve = chat.join("eve")
    chat.say("mei", "#garden", "hi")
    assert (mei.heard, bob.heard, eve.heard) == (["text hi"], ["text hi"], [])


async def test_private_entries_go_only_to_the_two_people(chat: Chat) -> None:
    mei, bob, eve = (chat.join(name, "log") for name in ("mei", "bob", "eve"))
    chat.say("mei", "@bob", "psst")
    chat.say("bob", "@mei", "what?")
    chat.say("eve", "@eve", "note")
    assert mei.heard == bob.heard == ["text psst", "text what?"]
    assert eve.heard == ["text note"]
    chat.say("ann", "@zoë", "nobody is here")


async def test_all_sessions_of_a_person_get_the_same_entries(chat: Chat) -> None:
    laptop, phone = chat.join("mei", "log", rooms=[GARDEN]), chat.join("mei", "log")
    assert laptop.person is phone.person
    for to in ("#lobby", "#garden", "@bob"):
        chat.say("mei", to, "hi")
    assert laptop.heard == phone.heard == ["text hi"] * 3
    chat.leave(laptop)
    chat.say("bob", "#garden", "still?")
    assert phone.heard[-1] == "text still?"
    assert len(laptop.heard) == 3


@pytest.mark.parametrize("to", ["#lobby", "#garden", "@bob"])
async def test_own_entries_go_to_all_sessions_with_the_log_in_order(chat: Chat, to: str) -> None:
    laptop, phone = (chat.join("mei", "log", rooms=[GARDEN]) for _ in range(2))
    bob = chat.join("bob", "log", rooms=[GARDEN])
    chat.commit(
        chat.logged("mei", to, "1", cid="c1"),
        chat.logged("bob", to if to != "@bob" else "@mei", "2"),
        chat.logged("mei", to, "3", kind="edit", ref=1),
    )
    chat.say("mei", to, "4")
    assert laptop.heard == ["text 1", "text 2", "edit 3", "text 4"]
    assert phone.heard == bob.heard == laptop.heard


@pytest.mark.parametrize("to", ["#lobby", "#garden", "@bob"])
async def test_sessions_without_the_log_get_no_own_entries(chat: Chat, to: str) -> None:
    """Not those of the person's other sessions, either."""
    minimal, other = (chat.join("mei", rooms=[GARDEN]) for _ in range(2))
    full = chat.join("mei", "log")
    bob = chat.join("Bob", rooms=[GARDEN])
    back = to if to != "@bob" else "@mei"
    chat.commit(
        chat.logged("mei", to, "1", cid="c1"),
        chat.logged("Bob", back, "2"),
        chat.logged("mei", to, "3"),
        chat.logged("Bob", back, "👍", kind="react", ref=1),
    )
    chat.say("mei", to, "4")
    assert minimal.heard == other.heard == ["text 2"]
    assert full.heard == ["text 1", "text 2", "text 3", "react 👍", "text 4"]
    assert bob.heard == ["text 1", "text 3", "text 4"]


# -- with and without the log ---------------------------------------------------------------------

CHANGES: list[EntryKind] = [
    "edit",
    "delete",
    "react",
    "unreact",
    "topic",
    "operator",
    "access",
    "history",
]


@pytest.mark.parametrize("to", ["#lobby", "#garden", "@bob"])
async def test_session_without_the_log_capability_gets_only_messages(chat: Chat, to: str) -> None:
    full = chat.join("bob", "log", rooms=[GARDEN])
    minimal = chat.join("bob")
    for kind in CHANGES:
        chat.say("mei", to, "x", kind=kind, ref=1)
    assert minimal.posts == []
    entries = [chat.logged("mei", to, "x", kind=kind, ref=1) for kind in CHANGES]
    entries.insert(3, chat.logged("mei", to, "hello"))
    chat.commit(*entries)
    assert minimal.heard == ["text hello"]
    assert len(minimal.posts) == 1
    assert full.heard.count("text hello") == 1
    assert len(full.heard) == 2 * len(CHANGES) + 1


async def test_private_messages_posted_without_the_log_are_recorded(
    chat: Chat,
) -> None:
    full, minimal, mine = chat.join("bob", "log"), chat.join("bob"), chat.join("mei")
    chat.commit(*(chat.logged("mei", "@bob", str(number)) for number in range(3)))
    chat.say("mei", "@bob", "👍", kind="react", ref=1)
    key = conversations.private(NameKey("bob"), NameKey("mei"))
    assert minimal.delivered == [(key, 3)]
    chat.say("mei", "#lobby", "hi")
    assert len(minimal.delivered) == 1
    assert full.delivered == mine.delivered == []


# -- how much work it is --------------------------------------------------------------------------


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Payload]:
    """What the hub has encoded."""
    done: list[Payload] = []

    def counted(payload: Payload) -> bytes:
        done.append(payload)
        return encode(payload)

    monkeypatch.setattr("gochat.server.posting.encode", counted)  # entries
    monkeypatch.setattr("gochat.server.hub.encode", counted)  # all else
    return done


@pytest.mark.parametrize("to", ["#lobby", "#garden", "@bob"])
async def test_run_is_encoded_once_and_posted_once_per_session(
    chat: Chat, encoded: list[Payload], to: str
) -> None:
    sessions = [chat.join("bob", *caps, rooms=[GARDEN]) for caps in (["log"], []) for _ in range(5)]
    chat.commit(*(chat.logged("mei", to, str(number)) for number in range(50)))
    assert len(encoded) == (100 if to == "@bob" else 50), "with and without conv"
    assert [len(session.posts) for session in sessions] == [1] * 10
    assert sessions[0].heard == [f"text {number}" for number in range(50)]
    # Each session without the log has its own choice of private messages.
    same = sessions if to != "@bob" else sessions[:5]
    assert all(session.posts[0] is sessions[0].posts[0] for session in same), "the same bytes"
    assert chat.delivery.count == 1


async def test_presence_is_encoded_once_for_all(chat: Chat, encoded: list[Payload]) -> None:
    sessions = [chat.join(f"p{number}") for number in range(10)]
    chat.hub.post_event(sessions, Presence(online=(Person(name="mei"),)))
    assert len(encoded) == 1
    assert all(len(session.posts) == 1 for session in sessions)


async def test_runs_of_several_conversations_keep_the_order_of_the_log(chat: Chat) -> None:
    mei = chat.join("mei", rooms=[GARDEN])
    order = ["#lobby", "#lobby", "#garden", "@mei", "#lobby", "#garden", "#garden"]
    chat.commit(*(chat.logged("bob", to, f"{index}") for index, to in enumerate(order)))
    assert mei.heard == [f"text {index}" for index in range(7)]
    assert len(mei.posts) == 5


# -- rooms ----------------------------------------------------------------------------------------


async def test_creator_or_joiner_gets_that_entry_and_later_ones(chat: Chat) -> None:
    mei, phone, bob = chat.join("mei", "log"), chat.join("mei", "log"), chat.join("bob", "log")
    chat.commit(
        chat.logged("mei", "#garden", "public", kind="create"),
        chat.logged("mei", "#garden", "one"),
        chat.logged("bob", "#garden", kind="join"),
        chat.logged("mei", "#garden", "two"),
    )
    assert mei.heard == phone.heard == ["create public", "text one", "join", "text two"]
    assert bob.heard == ["join", "text two"]
    assert set(bob.person.rooms) == {GARDEN}


async def test_leaver_gets_that_entry_and_no_later_ones(chat: Chat) -> None:
    mei, bob = (chat.join(name, "log", rooms=[GARDEN]) for name in ("mei", "bob"))
    chat.commit(
        chat.logged("bob", "#garden", "bye"),
        chat.logged("bob", "#garden", kind="leave"),
        chat.logged("mei", "#garden", "gone"),
    )
    assert bob.heard == ["text bye", "leave"]
    assert mei.heard == ["text bye", "leave", "text gone"]
    assert not bob.person.rooms


async def test_kicked_member_gets_that_entry_and_no_later_ones(chat: Chat) -> None:
    mei, bob, phone = (chat.join(name, "log", rooms=[GARDEN]) for name in ("mei", "bob", "bob"))
    chat.commit(
        chat.logged("mei", "#garden", "Bob", kind="kick", subject="Bob"),
        chat.logged("mei", "#garden", "gone"),
    )
    assert bob.heard == phone.heard == ["kick Bob"]
    assert mei.heard == ["kick Bob", "text gone"]
    assert not bob.person.rooms
    chat.say("bob", "#garden", kind="join")
    assert phone.heard == ["kick Bob", "join"]


async def test_invited_person_is_sent_no_entries(chat: Chat) -> None:
    mei, bob = chat.join("mei", "log", rooms=[GARDEN]), chat.join("bob", "log")
    chat.commit(
        chat.logged("mei", "#garden", "before"),
        chat.logged("mei", "#garden", "bob", kind="invite", subject="bob"),
        chat.logged("mei", "#garden", "between"),
        chat.logged("mei", "#garden", "bob", kind="kick", subject="bob"),
        chat.logged("mei", "#garden", "after"),
    )
    assert bob.heard == []
    (event,) = bob.received
    assert isinstance(event, Invited)
    assert (event.room, event.from_) == ("#garden", "mei")
    assert len(mei.heard) == 5
    assert not bob.person.rooms


async def test_everybody_whose_invitation_ends_is_notified(chat: Chat) -> None:
    """Also of a room without members at this node."""
    bob, phone, minimal = chat.join("bob", "log"), chat.join("bob", "log"), chat.join("bob")
    left = chat.logged("mei", "#garden", kind="leave")
    ended = (NameKey("bob"), NameKey("zoë"))
    chat.commit(structs.replace(left, uninvited=ended))
    assert bob.received == phone.received == [Uninvited(room="#garden")]
    assert minimal.received == []


async def test_membership_of_a_remote_person_changes_nothing_here(chat: Chat) -> None:
    mei = chat.join("mei", "log", rooms=[GARDEN])
    chat.commit(
        chat.logged("ann", "#garden", kind="join"),
        chat.logged("mei", "#garden", "zoë", kind="invite", subject="zoë"),
        chat.logged("mei", "#garden", "ann", kind="kick", subject="ann"),
        chat.logged("ann", "#garden", kind="leave"),
    )
    assert mei.heard == ["join", "invite zoë", "kick ann", "leave"]
    assert chat.hub.person(NameKey("ann")) is None


async def test_session_without_the_log_capability_is_in_the_room(chat: Chat) -> None:
    bob = chat.join("bob")
    chat.commit(chat.logged("bob", "#garden", kind="join"), chat.logged("mei", "#garden", "hi"))
    chat.commit(chat.logged("bob", "#garden", kind="leave"), chat.logged("mei", "#garden", "gone"))
    assert bob.heard == ["text hi"]


async def test_lobby_and_private_conversations_are_not_rooms(chat: Chat) -> None:
    mei = chat.join("mei", rooms=[LOBBY_KEY, ConversationKey("@bob,mei"), GARDEN])
    assert set(mei.person.rooms) == {GARDEN}
    chat.say("bob", "#lobby", "once")
    assert mei.heard == ["text once"]


async def test_rooms_generation_changes_with_each_change_only(chat: Chat) -> None:
    mei = chat.join("mei", rooms=[GARDEN])
    before = mei.person.generation
    chat.hub.enter(mei.person, {GARDEN: 0, LOBBY_KEY: 0})
    assert mei.person.generation == before
    chat.say("mei", "#garden", kind="leave")
    assert mei.person.generation > before


_people = st.sampled_from(["mei", "bob", "eve"])
_changes = st.lists(
    st.one_of(
        st.tuples(st.just("say"), _people, _people),
        st.tuples(st.just("join"), _people, _people),
        st.tuples(st.just("leave"), _people, _people),
        st.tuples(st.just("kick"), _people, _people),
        st.tuples(st.just("commit"), _people, _people),
        st.tuples(st.just("arrive"), _people, _people),
        st.tuples(st.just("depart"), _people, _people),
    ),
    max_size=60,
)


@given(_changes)
async def test_members_get_entries_exactly_while_joined_and_online(
    changes: list[tuple[str, str, str]],
) -> None:
    chat = Chat()
    members: set[str] = {"mei"}
    sessions: dict[str, list[Session]] = {"mei": [], "bob": [], "eve": []}
    expected: dict[Session, list[str]] = {}
    waiting: list[Logged] = []
    texts = count()

    def commit() -> None:
        chat.commit(*waiting)
        waiting.clear()

    for what, who, whom in changes:
        if what in ("arrive", "depart"):
            commit()  # earlier commits go to those who were members then
        heard = {session for name in members for session in sessions[name]}
        match what:
            case "say":
                text = str(next(texts))
                waiting.append(chat.logged(who, "#garden", text))
            case "join" if who not in members:
                members.add(who)
                heard |= set(sessions[who])
                waiting.append(chat.logged(who, "#garden", kind="join"))
                text = "join"
            case "leave" if who in members:
                members.discard(who)
                waiting.append(chat.logged(who, "#garden", kind="leave"))
                text = "leave"
            case "kick" if whom in members:
                members.discard(whom)
                waiting.append(chat.logged(who, "#garden", whom, kind="kick", subject=whom))
                text = "kick"
            case "arrive":
                session = chat.join(who, "log", rooms=[GARDEN] if who in members else [])
                sessions[who].append(session)
                expected[session] = []
                continue
            case "depart" if sessions[who]:
                chat.leave(sessions[who].pop())
                continue
            case _:
                commit()
                continue
        for session in heard:
            expected[session].append(text)
    commit()
    for session, entries in expected.items():
        assert [line.removeprefix("text ").split()[0] for line in session.heard] == entries
    for name in sessions:
        for session in sessions[name]:
            chat.leave(session)
    assert not chat.hub._rooms, "no room is kept that nobody here is in"
    assert len(chat.hub) == 0


# -- coming and going -----------------------------------------------------------------------------


async def test_person_is_online_from_the_first_session_to_the_last(chat: Chat) -> None:
    laptop, phone = chat.join("Mei"), chat.join("Mei")
    assert chat.hub.person(NameKey("mei")) is laptop.person
    assert (len(chat.hub), len(chat.hub.roster)) == (2, 1)
    chat.leave(laptop)
    assert NameKey("mei") in chat.hub.roster
    chat.leave(phone)
    assert chat.hub.person(NameKey("mei")) is None
    assert (len(chat.hub), len(chat.hub.roster)) == (0, 0)
    assert chat.hub.roster.news(0, with_status=True) == ([Presence(offline=("Mei",))], 2)


async def test_second_session_changes_neither_presence_nor_away_notice(chat: Chat) -> None:
    chat.join("mei")
    chat.hub.roster.arrive(NameKey("mei"), Person(name="mei", away="lunch"))
    changes = chat.hub.roster.changes
    chat.join("mei")
    assert chat.hub.roster.changes == changes
    assert chat.hub.roster.page("", 1, with_status=True) == (
        (Person(name="mei", away="lunch"),),
        False,
    )


async def test_sessions_of_a_person_share_one_rate_limit(chat: Chat) -> None:
    laptop, phone, bob = chat.join("mei"), chat.join("mei"), chat.join("bob")
    assert laptop.person.rate_limit is phone.person.rate_limit
    assert laptop.person.rate_limit is not bob.person.rate_limit


async def test_presence_is_published_at_most_once_per_interval(
    chat: Chat, autojump_clock: MockClock
) -> None:
    watcher = chat.join("watcher")
    told: list[float] = []
    post = watcher.post

    def noted(frames: bytes) -> None:
        told.append(trio.current_time())
        post(frames)

    watcher.post = noted  # type: ignore[method-assign]  # when, not just what
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.hub.presence.run, lambda: 0.1)
        for number in range(90):
            chat.join(f"p{number}")
            await trio.sleep(0.01)
        await trio.sleep(10)
        flushed = chat.delivery.count
        await trio.sleep(1000)
        assert chat.delivery.count == flushed, "where nothing happens nothing is done"
        nursery.cancel_scope.cancel()
    assert 8 <= len(told) <= 11
    assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in pairwise(told))
    names_told = [
        person.name
        for event in watcher.received
        if isinstance(event, Presence)
        for person in event.online
    ]
    assert names_told == ["watcher", *(f"p{number}" for number in range(90))]
    assert flushed == len(told)


async def test_statuses_of_a_crowd_cost_what_its_coming_costs(
    chat: Chat, autojump_clock: MockClock
) -> None:
    """One frame in an interval to those who ask for them, however often they change; and none to
    the others."""
    asking, other = chat.join("asking", "status"), chat.join("other")
    crowd = [chat.join(f"p{number:03}").person.key for number in range(150)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.hub.presence.run, lambda: 0.1)
        await trio.sleep(1)
        asking.posts.clear()
        other.posts.clear()
        for number in range(20):
            for key in crowd:
                chat.hub.set_status(key, Status(text=f"{number}"))
        await trio.sleep(1)
        assert (len(asking.posts), len(other.posts)) == (1, 0)
        (*_, last) = (event for event in asking.received if isinstance(event, Presence))
        assert {person.status for person in last.online} == {Status(text="19")}
        assert not chat.hub.roster._changed, "those who don't ask are not behind"
        nursery.cancel_scope.cancel()


async def test_slow_reader_gets_the_current_presence_later(
    chat: Chat, autojump_clock: MockClock
) -> None:
    reader, slow = chat.join("reader"), chat.join("slow")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.hub.presence.run, lambda: 0.1)
        await trio.sleep(1)
        slow.is_behind = True
        reader.posts.clear()
        slow.posts.clear()
        people = [chat.join(f"p{number:04}") for number in range(1200)]
        await trio.sleep(10)
        assert slow.posts == []
        assert len(reader.posts) == 3, "so many at once, and no more"
        for session in people[:1000]:
            chat.leave(session)
        await trio.sleep(10)
        slow.is_behind = False
        await trio.sleep(10)
        events = [event for event in slow.received if isinstance(event, Presence)]
        assert sum(len(event.online) for event in events) == 200
        assert sum(len(event.offline) for event in events) == 1000
        assert not chat.hub.roster._changed, "and when all have been told it is forgotten"
        flushed = chat.delivery.count
        await trio.sleep(100)
        assert chat.delivery.count == flushed
        nursery.cancel_scope.cancel()


async def test_others_have_their_turn_while_a_crowd_is_told(
    chat: Chat, autojump_clock: MockClock
) -> None:
    """Also somebody who leaves meanwhile, and somebody who comes."""
    crowd = [chat.join(f"p{number:03}") for number in range(3 * AT_ONCE)]
    told_before: list[int] = []
    begun, post = trio.Event(), crowd[0].post

    def noted(frames: bytes) -> None:
        begun.set()
        post(frames)

    crowd[0].post = noted  # type: ignore[method-assign]  # when, not just what

    async def other() -> None:
        await begun.wait()
        told_before.append(sum(bool(session.posts) for session in crowd))
        chat.leave(crowd[-1])
        chat.join("late")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.hub.presence.run, lambda: 0.1)
        nursery.start_soon(other)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    [told] = told_before
    assert told in (AT_ONCE, 2 * AT_ONCE)
    assert not crowd[-1].posts
    names_here = [f"p{number:03}" for number in range(3 * AT_ONCE - 1)]
    for session in crowd[:-1]:
        events = [event for event in session.received if isinstance(event, Presence)]
        online = {person.name for event in events for person in event.online}
        assert online >= {"late", *names_here}
        offline = [name for event in events for name in event.offline]
        assert offline == [crowd[-1].person.name] * (len(offline) or 1)
    assert not chat.hub.roster._changed, "everybody was told everything"


async def test_coming_and_going_within_an_interval_is_one_event(
    chat: Chat, autojump_clock: MockClock
) -> None:
    watcher = chat.join("watcher")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chat.hub.presence.run, lambda: 0.1)
        await trio.sleep(1)
        watcher.posts.clear()
        for _ in range(5):
            chat.leave(chat.join("mei"))
        await trio.sleep(1)
        assert watcher.received == [Presence(offline=("mei",))]
        nursery.cancel_scope.cancel()


# -- other events ---------------------------------------------------------------------------------


async def test_events_go_to_the_sessions_that_have_the_capability(chat: Chat) -> None:
    with_it, without = chat.join("mei", "log"), chat.join("mei", "typing")
    event: Event = Marked(conv="#lobby", read=3)
    chat.hub.post_event(with_it.person.sessions, event, Capability.LOG)
    assert with_it.received == [event]
    assert without.posts == []
    chat.hub.post_event(without.person.sessions, event)
    assert without.received == [event]


async def test_typing_is_not_sent_to_a_slow_reader(chat: Chat) -> None:
    mei, bob, slow = (chat.join(name, "typing") for name in ("mei", "bob", "slow"))
    slow.is_behind = True
    event = IsTyping(to="#lobby", from_="mei")
    chat.hub.publish_typing(LOBBY_KEY, event, besides=mei.person)
    assert (bob.received, slow.received) == ([event], [])


async def test_large_commit_is_posted_in_pieces(chat: Chat) -> None:
    mei, phone = chat.join("mei", "log"), chat.join("mei")
    who = ("mei", "bob")
    entries = [chat.logged(who[number % 2], "#lobby", "x" * 4000) for number in range(40)]
    chat.commit(*entries, chat.logged("bob", "#lobby", "y" * 65_000), chat.logged("bob", "#lobby"))
    assert len(mei.posts) == 4
    assert max(map(len, mei.posts)) <= 64 * 1024
    assert mei.sent_at_once == phone.sent_at_once == 1
    assert [m.seq for m in mei.received if isinstance(m, Message)] == list(range(1, 43))
    assert [m.seq for m in phone.received if isinstance(m, Message)] == [
        *range(2, 41, 2), 41, 42
    ]  # fmt: skip


@pytest.mark.parametrize("to", ["#lobby", "#garden", "@bob"])
async def test_typing_is_sent_to_others_online_with_the_capability(chat: Chat, to: str) -> None:
    mei, phone = chat.join("mei", "typing", rooms=[GARDEN]), chat.join("mei", "typing")
    bob, deaf = chat.join("bob", "typing", rooms=[GARDEN]), chat.join("bob")
    eve = chat.join("eve", "typing")
    event = IsTyping(to=to, from_="mei")
    key = conversations.key(to, NameKey("mei"))
    chat.hub.publish_typing(key, event, besides=mei.person)
    assert bob.received == [structs.replace(event, conv="@mei") if to == "@bob" else event]
    assert mei.posts == phone.posts == deaf.posts == []
    assert eve.received == ([event] if to == "#lobby" else [])
    assert chat.delivery.count == 1


# -- history before joining -----------------------------------------------------------------------


async def test_changes_of_hidden_messages_lose_their_text(
    chat: Chat,
) -> None:
    old = chat.join("mei", "log", rooms=[GARDEN])
    ann = chat.join("ann", "log", rooms=[GARDEN], floor=1)
    bob = chat.join("bob", "log", rooms=[GARDEN], floor=2)
    for _ in range(3):
        chat.logged("eve", "#garden", "before")
    chat.commit(
        chat.logged("eve", "#garden", "psst, @bob", kind="edit", ref=2, mentions=("bob",)),
        chat.logged("eve", "#garden", "🌹", kind="react", ref=1),
        chat.logged("eve", "#garden", "as I said", ref=1),
        chat.logged("eve", "#garden", kind="delete", ref=2),
        chat.logged("eve", "#garden", "🌹", kind="unreact", ref=3),
    )
    assert old.heard == ["edit psst, @bob", "react 🌹", "text as I said", "delete", "unreact 🌹"]
    assert ann.heard == ["edit psst, @bob", "react", "text as I said", "delete", "unreact 🌹"]
    assert bob.heard == ["edit", "react", "text as I said", "delete", "unreact 🌹"]
    edit = bob.received[0]
    assert isinstance(edit, Message)
    assert (edit.seq, edit.ref, edit.mentions, edit.deleted) == (4, 2, (), True)


async def test_lagging_node_delivers_no_entries_up_to_the_floor(
    chat: Chat,
) -> None:
    """The store has Bob in the room, but the hub has not been notified yet."""
    bob = chat.join("bob", "log", rooms=[GARDEN], floor=2)
    chat.say("mei", "#garden", "secret")
    chat.commit(
        chat.logged("mei", "#garden", "secret"),
        chat.logged("mei", "#garden", "hello"),
    )
    assert bob.heard == ["text hello"]


async def test_rejoining_sets_a_new_floor(chat: Chat) -> None:
    bob = chat.join("bob", "log", rooms=[GARDEN])
    chat.say("mei", "#garden", "before")
    chat.say("bob", "#garden", kind="leave")
    joined = structs.replace(chat.logged("bob", "#garden", kind="join"), floor=2)
    chat.commit(joined)
    chat.say("mei", "#garden", "again", kind="edit", ref=1)
    again = chat.join("bob", "log")
    chat.say("mei", "#garden", "🌹", kind="react", ref=1)
    assert bob.heard == ["text before", "leave", "join", "edit", "react"]
    assert again.heard == ["react"]
