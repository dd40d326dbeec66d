"""The hub: which sessions are connected here, and which of them get what the log commits.

The store calls :meth:`Hub.deliver` with each committed batch. The hub encodes each entry once,
groups runs of entries with the same audience, and posts them to the sessions of that audience. It
holds no rules and never waits: everything here happens in one step of the Trio thread, so a session
that joins between two batches misses none and gets none twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import compress, groupby
from typing import Final

import trio
from msgspec import structs

from gochat.chat import conversations
from gochat.chat.conversations import (
    LOBBY_KEY,
    ConversationKey,
    addressed,
    is_private,
    participants,
)
from gochat.chat.extras import plain
from gochat.chat.history import views
from gochat.chat.log import Batch, Logged
from gochat.chat.names import NameKey, known
from gochat.chat.node_bus import (
    ActivitySeen,
    Arrived,
    AwaySet,
    BlockSet,
    Left,
    LoginSeen,
    NodeEvent,
    PersonHere,
    ReportGone,
    ReportMade,
    SavedSet,
    StatusSet,
    Typed,
)
from gochat.chat.presence import Roster
from gochat.chat.typing_notices import TypingNotices
from gochat.histogram import SIZES, Histogram
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    ActivityChanged,
    Blocked,
    Capability,
    Event,
    Invited,
    IsTyping,
    Marked,
    Message,
    NewLogin,
    Person,
    ReportClosed,
    Reported,
    RoleChanged,
    SavedChanged,
    ServerRole,
    Status,
    Unblocked,
    Uninvited,
)
from gochat.server.delivery import Delivery
from gochat.server.limits import WriteLimiter
from gochat.server.posting import Frames, Piece, Subscriber, editions, pieces
from gochat.server.presence_updates import PresenceUpdates
from gochat.storage.common.clock import wall_clock
from gochat.token_bucket import TokenBucket


class OnlinePerson:
    """A person who is online here: their sessions and rooms.

    `rooms` maps each room to their floor in it (:mod:`gochat.chat.history`).

    `generation` counts changes of `rooms`, so that code that loads them from the store notices a
    change in the meantime. `invitation_changes` counts what their sessions were sent of their
    invitations, for the same reason.
    """

    __slots__ = (
        "generation", "invitation_changes", "key", "name", "rate_limit", "rooms", "sessions",
        "typing",
    )  # fmt: skip

    def __init__(self, key: NameKey, name: str, rate_limit: TokenBucket) -> None:
        self.key: Final = key
        self.name: Final = name
        self.sessions: dict[Subscriber, None] = {}
        self.rooms: dict[ConversationKey, int] = {}
        self.generation = 0
        self.invitation_changes = 0
        #: Rate limit for writing to the log, shared by all their devices.
        self.rate_limit: Final = rate_limit
        #: State of their typing notices.
        self.typing = TypingNotices()


class Hub:
    """Delivers committed entries, presence and other events to the sessions of this node."""

    def __init__(
        self,
        delivery: Delivery,
        *,
        write_limiter: WriteLimiter,
        publish: Callable[[NodeEvent], None] = lambda _: None,
    ) -> None:
        self._delivery = delivery
        #: Publishes an event to the other nodes.
        self.publish: Final = publish
        self._write_limiter = write_limiter
        self.roster = Roster(wall_clock)
        #: Has all sessions, as all are sent who comes and leaves.
        self.presence: Final = PresenceUpdates(self.roster, delivery)
        #: Those that are sent the lobby's entries.
        self._lobby: dict[Subscriber, None] = {}
        self._people: dict[NameKey, OnlinePerson] = {}
        #: For each room, the subscribed sessions with their floors; and the highest floor.
        self._rooms: dict[ConversationKey, dict[Subscriber, int]] = {}
        self._highest: dict[ConversationKey, int] = {}
        #: Since the start: committed messages, and entries that were posted, once for each session.
        self.messages = self.deliveries = 0
        #: How many entries were committed together.
        self.batch_sizes: Final = Histogram(SIZES)

    # -- sessions ---------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.presence)

    def sessions(self) -> tuple[Subscriber, ...]:
        """Return all sessions that are logged in here."""
        return tuple(self.presence)

    def person(self, key: NameKey) -> OnlinePerson | None:
        """Return the person who is online here under this key, or None."""
        return self._people.get(key)

    def join(self, session: Subscriber, key: NameKey, name: str) -> OnlinePerson:
        """Add a logged-in session. From here on it gets what is committed."""
        person = self._people.get(key)
        if person is None:
            rate_limit = self._write_limiter.joined(key, trio.current_time())
            person = self._people[key] = OnlinePerson(key, name, rate_limit)
            here = self.roster.get(key) or Person(name=name)  # they may be online elsewhere, too
            self.roster.arrive(key, here)
            self.publish(Arrived(PersonHere(key, name, here.away, here.status)))
        person.sessions[session] = None
        self.presence.add(session)
        if session.grant.sees(LOBBY_KEY):
            self._lobby[session] = None
        for room, floor in person.rooms.items():
            self._subscribe(room, (session,), floor)
        return person

    def leave(self, session: Subscriber, person: OnlinePerson) -> None:
        """Remove a session. After an account's last session here, the person is offline here."""
        self.presence.remove(session)
        self._lobby.pop(session, None)
        del person.sessions[session]
        for room in person.rooms:
            self._unsubscribe(room, (session,))
        if not person.sessions:
            del self._people[person.key]
            self._write_limiter.left(person.key, person.rate_limit)
            self.roster.leave(person.key)
            self.publish(Left(person.key))

    def enter(self, person: OnlinePerson, floors: Mapping[ConversationKey, int]) -> None:
        """Subscribe a person's sessions to rooms: they get what comes after their floor in each."""
        for room, floor in floors.items():
            if room == LOBBY_KEY or is_private(room) or room in person.rooms:
                continue
            person.rooms[room] = floor
            person.generation += 1
            self._subscribe(room, person.sessions, floor)

    def _exit(self, person: OnlinePerson, room: ConversationKey) -> None:
        person.rooms.pop(room, None)
        person.generation += 1
        self._unsubscribe(room, person.sessions)

    def _subscribe(self, room: ConversationKey, sessions: Iterable[Subscriber], floor: int) -> None:
        allowed = [session for session in sessions if session.grant.sees(room)]
        if not allowed:
            return
        self._rooms.setdefault(room, {}).update(dict.fromkeys(allowed, floor))
        if floor > self._highest.get(room, 0):
            self._highest[room] = floor

    def _unsubscribe(self, room: ConversationKey, sessions: Iterable[Subscriber]) -> None:
        subscribers = self._rooms.get(room)
        if subscribers is not None:
            for session in sessions:
                subscribers.pop(session, None)
            if not subscribers:
                del self._rooms[room]
                self._highest.pop(room, None)

    # -- the log ----------------------------------------------------------------------------

    def deliver(self, batch: Batch) -> None:
        """Post a committed batch to its audience, and flush."""
        # Membership decides who gets what comes next: a member who joins gets the entry of the
        # join; a member who is removed gets that entry, too, and nothing after it.
        self.batch_sizes.observe(len(batch.entries))
        self.messages += sum(logged.entry.kind == "text" for logged in batch.entries)
        runs = [(*key, list(run)) for key, run in groupby(batch.entries, key=_run_of)]
        for number, (conversation, is_membership, run) in enumerate(runs, 1):
            if is_membership:
                for logged in run:
                    self._deliver_membership(conversation, logged)
                continue
            entries, is_last = [logged.entry for logged in run], number == len(runs)
            if is_private(conversation):
                self._post_private(conversation, entries, is_last=is_last)
            else:
                self._post(conversation, self._audience(conversation), entries, is_last=is_last)
        self._post_activity(batch)
        self._delivery.flush()

    def _post_activity(self, batch: Batch) -> None:
        """Notify those who are named in entries, or whose messages these are about.

        Not of messages to everybody: these are noticed by themselves.
        """
        concerned: dict[Subscriber, None] = {}
        for logged in batch.entries:
            conversation, entry = logged.conversation, logged.entry
            if logged.author is None and not entry.mentions:
                continue
            for key in (logged.author, *map(known, entry.mentions)):
                person = None if key is None else self._people.get(key)
                if person is not None and entry.from_ != person.name:
                    is_theirs = conversation == LOBBY_KEY or is_private(conversation)
                    if is_theirs or conversation in person.rooms:
                        concerned.update(_seeing(person.sessions, conversation))
        if concerned:
            self.post_event(concerned, ActivityChanged(), Capability.LOG)

    def publish_activity(self, person: NameKey) -> None:
        """Notify a person's sessions, on all nodes, that they have seen their activity."""
        self.deliver_activity(person)
        self.publish(ActivitySeen(person))

    def deliver_activity(self, person: NameKey) -> None:
        """Notify a person's sessions here that their activity has changed, and flush."""
        here = self._people.get(person)
        if here is not None:
            seeing = [session for session in here.sessions if session.grant.sees_people]
            self.post_event(seeing, ActivityChanged(), Capability.LOG)
            self._delivery.flush()

    def publish_saved(self, person: NameKey, event: SavedChanged) -> None:
        """Notify a person's sessions, on all nodes, of what they have saved, or no longer."""
        self.deliver_saved(person, event)
        self.publish(SavedSet(person, event))

    def deliver_saved(self, person: NameKey, event: SavedChanged) -> None:
        """Notify a person's sessions here of what they have saved, and flush."""
        here = self._people.get(person)
        if here is not None:
            conversation = conversations.key(event.conv, person)
            self.post_event(_seeing(here.sessions, conversation), event, Capability.LOG)
            self._delivery.flush()

    def people(self) -> tuple[NameKey, ...]:
        """Return the keys of all who are online here."""
        return tuple(self._people)

    def deliver_role(self, person: NameKey, role: ServerRole) -> None:
        """Notify those of a person's sessions here that know of another role, and flush."""
        here = self._people.get(person)
        if here is not None:
            changed = [session for session in here.sessions if session.role != role]
            for session in changed:
                session.role = role
            # msgspec leaves a default out only if it is the same object.
            event = RoleChanged(role="member" if role == "member" else role)
            self.post_event(changed, event, Capability.LOG)
            self._delivery.flush()

    def _deliver_membership(self, room: ConversationKey, logged: Logged) -> None:
        entry = logged.entry
        sender = self._people.get(known(entry.from_))
        subject = self._people.get(logged.subject) if logged.subject is not None else None
        if sender is not None and entry.kind in ("create", "join", "hand_over"):
            self.enter(sender, {room: logged.floor})
        self._post(room, dict(self._audience(room)), (entry,))
        if sender is not None and entry.kind == "leave":
            self._exit(sender, room)
        if subject is not None and entry.kind in ("kick", "ban"):
            self._exit(subject, room)
        if subject is not None and entry.kind == "invite":
            invited = Invited(room=entry.to, from_=entry.from_, ts=entry.ts, topic=logged.topic)
            self._post_invitation(room, subject, invited)
        for key in logged.uninvited:
            if (person := self._people.get(key)) is not None:
                self._post_invitation(room, person, Uninvited(room=entry.to))

    def _post_invitation(
        self, room: ConversationKey, person: OnlinePerson, event: Invited | Uninvited
    ) -> None:
        person.invitation_changes += 1
        self.post_event(_seeing(person.sessions, room), event, Capability.LOG)

    def _audience(self, conversation: ConversationKey) -> Mapping[Subscriber, object]:
        if conversation == LOBBY_KEY:
            return self._lobby
        if is_private(conversation):
            sessions: dict[Subscriber, None] = {}
            for key in participants(conversation):
                if (person := self._people.get(key)) is not None:
                    sessions.update(_seeing(person.sessions, conversation))
            return sessions
        return self._rooms.get(conversation, {})

    def _post_private(
        self, conversation: ConversationKey, entries: Sequence[Message], *, is_last: bool
    ) -> None:
        """Post entries of a private conversation to its two people.

        A message of the other one has its `conv`, except for minimal clients, which get nothing
        new.
        """
        encoded = Frames()
        for key in participants(conversation):
            if (person := self._people.get(key)) is None:
                continue
            theirs: dict[bool, list[Piece]] = {}  # with what is new, and without
            for session in person.sessions:
                if not session.grant.sees(conversation):
                    continue
                is_new = bool(session.caps)
                if is_new not in theirs:
                    seen = [addressed(entry, key) if is_new else plain(entry) for entry in entries]
                    theirs[is_new] = pieces(seen, encoded, is_last=is_last)
                self.deliveries += len(entries)
                for piece in theirs[is_new]:
                    if session.wants_log:
                        piece.post_to(session)
                    else:
                        session.post_private(conversation, piece.entries, piece.frames)

    def _post(
        self,
        conversation: ConversationKey,
        audience: Collection[Subscriber],
        entries: Sequence[Message],
        *,
        is_last: bool = False,
    ) -> None:
        """Post entries of the lobby or a room, unless some see them otherwise than others.

        With `is_last`, the last piece may be written at once.
        """
        encoded = Frames()
        parts: Iterable[tuple[Collection[Subscriber], Sequence[Message]]] = ((audience, entries),)
        highest = self._highest.get(conversation, 0)
        if highest and any(min(entry.seq, entry.ref or entry.seq) <= highest for entry in entries):
            parts = views(entries, audience, self._rooms[conversation])
        for some, seen in editions(parts):
            for piece in pieces(seen, encoded, is_last=is_last):
                self._post_piece(some, piece)

    def _post_piece(self, audience: Collection[Subscriber], piece: Piece) -> None:
        """Post a piece, with one post for each session.

        Sessions with the capability `log` get all of it, the others only what others said.
        """
        self.deliveries += len(audience) * len(piece.entries)
        said = [entry.kind == "text" for entry in piece.entries]
        only_said = piece.data if all(said) else b"".join(compress(piece.frames, said))
        without_own = self._without_own(piece.entries, piece.frames)
        for session in audience:
            data = piece.data if session.wants_log else without_own.get(session, only_said)
            piece.post_to(session, data)

    def _without_own(
        self, entries: Sequence[Message], frames: Sequence[bytes]
    ) -> dict[Subscriber, bytes]:
        """Return what others said, for the senders' own sessions without the capability `log`."""
        found: dict[Subscriber, bytes] = {}
        for sender in {entry.from_ for entry in entries}:
            person = self._people.get(known(sender))
            sessions = person.sessions if person is not None else ()
            if minimal := [session for session in sessions if not session.wants_log]:
                of_others = [entry.kind == "text" and entry.from_ != sender for entry in entries]
                found.update(dict.fromkeys(minimal, b"".join(compress(frames, of_others))))
        return found

    # -- other events -----------------------------------------------------------------------

    def post_event(
        self, sessions: Iterable[Subscriber], event: Event, capability: Capability | None = None
    ) -> None:
        """Post an event to the sessions that have the capability it needs. The caller flushes."""
        frame = encode(event)
        for session in sessions:
            if capability is None or capability in session.caps:
                session.events.post(frame)

    def publish_typing(
        self, conversation: ConversationKey, event: IsTyping, *, besides: OnlinePerson
    ) -> None:
        """Deliver a typing notice to the others of a conversation, on all nodes."""
        self.deliver_typing(conversation, event, besides=besides.key)
        self.publish(Typed(conversation, besides.key, event))

    def deliver_typing(
        self, conversation: ConversationKey, event: IsTyping, *, besides: NameKey
    ) -> None:
        """Deliver a typing notice to the members of a conversation who are here, and flush."""
        audience = self._audience(conversation)
        person = self._people.get(besides)
        own = person.sessions if person is not None else {}
        others = [
            session
            for session in audience
            if session not in own and not session.events.is_behind  # a notice goes stale
        ]
        if event.to.startswith("@"):
            event = structs.replace(event, conv="@" + event.from_)  # its author gets none
        self.post_event(others, event, Capability.TYPING)
        self._delivery.flush()

    def set_away(self, key: NameKey, away: str | None) -> None:
        """Set a person's away notice, on all nodes."""
        self.roster.set_away(key, away)
        self.publish(AwaySet(key, away))

    def set_status(self, key: NameKey, status: Status | None) -> None:
        """Set the status of a person as it is shown, on all nodes."""
        self.roster.set_status(key, status)
        self.publish(StatusSet(key, status))

    def deliver_marked(self, person: NameKey, event: Marked) -> None:
        """Send a read marker to a person's sessions here, and flush."""
        here = self._people.get(person)
        if here is not None:
            conversation = conversations.key(event.conv, person)
            self.post_event(_seeing(here.sessions, conversation), event, Capability.LOG)
            self._delivery.flush()

    def publish_block(self, person: NameKey, name: str, *, on: bool) -> None:
        """Notify a person's sessions, on all nodes, that they block somebody, or no longer do."""
        self.deliver_block(person, name, on=on)
        self.publish(BlockSet(person, name, on))

    def deliver_block(self, person: NameKey, name: str, *, on: bool) -> None:
        """Notify a person's sessions here of a change of whom they block, and flush."""
        here = self._people.get(person)
        if here is not None:
            own = [session for session in here.sessions if session.grant.is_person]
            event = Blocked(name=name) if on else Unblocked(name=name)
            self.post_event(own, event, Capability.LOG)
            self._delivery.flush()

    def publish_login(self, person: NameKey, event: NewLogin, *, besides: Subscriber) -> None:
        """Notify a person's other sessions, on all nodes, of a login."""
        self.deliver_login(person, event, besides=besides)
        self.publish(LoginSeen(person, event))

    def deliver_login(
        self, person: NameKey, event: NewLogin, *, besides: Subscriber | None = None
    ) -> None:
        """Notify a person's sessions here of a login, and flush."""
        here = self._people.get(person)
        if here is not None:
            others = [s for s in here.sessions if s is not besides and s.grant.is_person]
            self.post_event(others, event, Capability.LOG)
            self._delivery.flush()

    def publish_report(self, people: Sequence[NameKey], event: Reported) -> None:
        """Notify the sessions of these people, on all nodes, that messages were reported."""
        self.deliver_report(people, event)
        self.publish(ReportMade(tuple(people), event))

    def publish_report_closed(self, people: Sequence[NameKey], event: ReportClosed) -> None:
        """Notify the sessions of these people, on all nodes, that a report is no longer open."""
        self.deliver_report(people, event)
        self.publish(ReportGone(tuple(people), event))

    def deliver_report(self, people: Sequence[NameKey], event: Reported | ReportClosed) -> None:
        """Notify the sessions of these people who are here of a change of a report, and flush."""
        for person in people:
            if (here := self._people.get(person)) is not None:
                own = [session for session in here.sessions if session.grant.is_person]
                self.post_event(own, event, Capability.LOG)
        self._delivery.flush()

    def limit_writes(self, burst: float, per_second: float) -> None:
        """Change how often each person may write, also of those who are online."""
        buckets = [person.rate_limit for person in self._people.values()]
        self._write_limiter.configure(burst, per_second, buckets, trio.current_time())


def _seeing(
    sessions: Iterable[Subscriber], conversation: ConversationKey
) -> dict[Subscriber, None]:
    """Return the sessions that may see a conversation."""
    return {session: None for session in sessions if session.grant.sees(conversation)}


_MEMBERSHIP: Final = frozenset(
    {"create", "join", "leave", "invite", "kick", "ban", "decline", "hand_over"}
)


def _run_of(logged: Logged) -> tuple[ConversationKey, bool]:
    """Return the key by which consecutive entries are posted together.

    A run is of one conversation, and either all or none of its entries change who is in it.
    """
    return logged.conversation, logged.entry.kind in _MEMBERSHIP
