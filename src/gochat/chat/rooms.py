"""Rooms: check who may do what, and make drafts for the log, as in :mod:`gochat.chat.drafts`.

A public room is open to all; a private one is joined by invitation. Operators invite, remove, set
the topic and the access, and make others operators. A room that has members has an operator: when
the last operator leaves, the member who has been there longest becomes one, and a person who joins
a public room without members becomes its operator. When the last member leaves a private room, its
invitations lapse: nobody can join it any more, and its name stays taken.

Operators of a private room choose whether those who join can read earlier messages. Those who join
a public room can, except what was hidden when it became public (:mod:`gochat.chat.history`).

Each draft carries the facts that its decision was based on, so the rule holds at the commit, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from gochat.chat import conversations, names, skeletons
from gochat.chat.accounts import Identity
from gochat.chat.directory import Destination, Directory
from gochat.chat.drafts import draft_of, make_draft
from gochat.chat.facts import Facts
from gochat.chat.log import Draft
from gochat.chat.muting import mute_refusal
from gochat.chat.refusals import banned, blocked, check_length, operators_only, room_exists
from gochat.chat.room_access import RoomAccess
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import (
    CreateRoom,
    Decline,
    Invite,
    Join,
    Kick,
    Leave,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
)

#: In characters: what fits the line above the conversation.
MAX_TOPIC: Final = 200
#: Pending invitations of a person. Concurrent invitations can exceed it.
MAX_INVITATIONS: Final = 100

_OPERATES_PRIVATE: Final = Facts(sender=("operator",), private=True)


class RoomDrafts(RoomAccess):
    """Makes the drafts that change rooms. The last draft of a list is the requested change.

    A list is empty where nothing is to be changed, because it is so already.
    """

    def __init__(
        self, store: Store, directory: Directory, reserved_names: Iterable[str] = ()
    ) -> None:
        super().__init__(store, directory)
        self.reserve(reserved_names)

    def reserve(self, names: Iterable[str]) -> None:
        """Set the names, without the ``#``, of which nobody can create a room."""
        self._reserved = skeletons.of_all("#" + name for name in names)

    async def create(self, who: Identity, request: CreateRoom) -> list[Draft]:
        """Create a room. Its topic is set once it exists."""
        if not request.room.startswith("#"):
            raise ChatError(
                ErrorCode.BAD_NAME,
                "a room's name begins with #, as in #garden",
                field="room",
                details={"rule": "sign"},
            )
        _check_topic(request.topic)
        try:
            shown = "#" + names.check(request.room[1:])
        except ChatError as error:
            raise ChatError(error.code, error.text, field="room", details=error.details) from error
        key = conversations.key(shown, who.key)
        if await self._directory.room(key, who.key) is not None:
            raise room_exists(shown)
        if not self._reserved.isdisjoint(skeletons.skeletons(shown)):
            raise skeletons.reserved(shown)
        return [draft_of(request, who, Destination(key, shown), None)]

    async def join(self, who: Identity, request: Join) -> list[Draft]:
        """Become a member."""
        room = await self._room(who, request.room)
        if room.is_inside:
            return []
        if room.ban is not None:
            raise banned(room.name, room.ban)
        if room.private and room.members == 0:  # an invitation from before they lapsed
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                f"{room.name} is private, and everybody has left it: nobody can join it any more",
                field="room",
                details={"rule": "abandoned"},
            )
        # An invited person may join, whatever the room becomes.
        private = None if room.role == "invited" else False
        facts = Facts(sender=(room.standing,), private=private)
        return [draft_of(request, who, Destination.of(room), facts)]

    async def leave(self, who: Identity, request: Leave) -> list[Draft]:
        """Stop being a member. The last operator hands over first."""
        room = await self._own_room(who, request.room)
        facts, drafts = Facts(sender=(room.standing,)), []
        if room.role == "operator":
            heir, needs_heir = await self._succession(room, who.key)
            if heir is None:
                facts = Facts(sender=(room.standing,), is_alone=True)
            else:
                subject = names.known(heir.name)
                facts = Facts(sender=(room.standing,), operator=subject)
                if needs_heir:
                    # A new cid at each try: it is appended only while the sender is a member.
                    is_member = Facts(sender=(room.standing,), subject=("member",))
                    drafts.append(
                        make_draft(
                            who,
                            Destination.of(room),
                            "operator",
                            is_member,
                            text=heir.name,
                            subject=subject,
                        )
                    )
        facts = await self._saying_why(who, room, facts, request.reason)
        return [*drafts, draft_of(request, who, Destination.of(room), facts)]

    async def invite(self, who: Identity, request: Invite) -> list[Draft]:
        """Invite a person: any member may to a public room, only an operator to a private one."""
        room = await self._own_room(who, request.room)
        if room.private and room.role != "operator":
            raise operators_only("invite to a private room")
        key, name = await self._somebody(request.name)
        other = await self._store.room(room.key, key)
        if other is not None and other.is_inside:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                f"{name} is in {room.name} already",
                field="name",
                details={"rule": "member"},
            )
        if other is not None and other.role == "invited":
            return []
        if other is not None and other.role == "banned":
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                f"{name} is banned from {room.name}: lift the ban first",
                field="name",
                details={"rule": "banned"},
            )
        if key in await self._store.blockers(who.key, key):
            raise blocked(name, "theirs", "name")
        if len(await self._store.invitations(key)) >= MAX_INVITATIONS:
            raise ChatError(
                ErrorCode.TOO_MANY,
                f"{name} has {MAX_INVITATIONS} invitations to answer first",
                field="name",
                details={"rule": "invitations", "max": MAX_INVITATIONS},
            )
        facts = Facts(
            sender=(room.standing,),
            subject=("nobody",),
            private=None if room.role == "operator" else False,
        )
        return [draft_of(request, who, Destination.of(room), facts, text=name, subject=key)]

    async def kick(self, who: Identity, request: Kick) -> list[Draft]:
        """Remove another person, or withdraw an invitation."""
        room, facts = await self._operated(who, request.room, to="remove people")
        key, name, role = await self._member(room, request.name, or_invited=True)
        facts = await self._acting_on(who, room, facts, key)
        drafts, facts = await self._succeeding(who, room, facts, key, role)
        facts = replace(facts, subject=(role,))
        facts = await self._saying_why(who, room, facts, request.reason)
        to = Destination.of(room)
        return [*drafts, draft_of(request, who, to, facts, text=name, subject=key)]

    async def decline(self, who: Identity, request: Decline) -> list[Draft]:
        """Turn down an invitation. Without one, nothing shows whether there is such a room."""
        if not request.room.startswith("#"):
            raise conversations.unknown(request.room, "room")
        key = conversations.key(request.room, who.key, "room")
        room = await self._store.room(key, who.key)
        if room is None or room.role != "invited":
            return []
        return [draft_of(request, who, Destination.of(room), Facts(sender=("invited",)))]

    async def set_topic(self, who: Identity, request: SetTopic) -> list[Draft]:
        """Set the topic, which may be empty."""
        _check_topic(request.topic)
        room, facts = await self._operated(who, request.room, to="set the topic", or_lobby=True)
        refused = room.refusal("topic", "room") or (
            await mute_refusal(self._store, who, room, "topic", "room")
        )
        if refused is not None:
            raise refused
        if request.topic == room.topic:
            return []
        facts = replace(facts, topic=room.topic, is_open=True)
        return [draft_of(request, who, Destination.of(room), facts)]

    async def set_operator(self, who: Identity, request: SetOperator) -> list[Draft]:
        """Make a member an operator, or an operator a member."""
        room = await self._own_room(who, request.room, to="choose operators")
        key, name, role = await self._member(room, request.name)
        if (role == "operator") == request.on:
            return []
        other = None
        if not request.on and key == who.key:
            successor, is_needed = await self._succession(room, key)
            if is_needed or successor is None:
                raise ChatError(
                    ErrorCode.BAD_REQUEST,
                    f"{room.name} needs an operator: choose another one first",
                    field="name",
                    details={"rule": "last_operator"},
                )
            other = names.known(successor.name)
        facts = Facts(sender=("operator",), subject=(role,), operator=other)
        return [draft_of(request, who, Destination.of(room), facts, text=name, subject=key)]

    async def set_access(self, who: Identity, request: SetAccess) -> list[Draft]:
        """Make the room private or public.

        An operator who makes it public must say whether those who join can read earlier messages:
        what was hidden stays hidden, what was shown may be hidden first.
        """
        room = await self._own_room(who, request.room, to="change who may join")
        if request.private or not room.private:
            if request.history is not None:
                raise _wrong_history(
                    "superfluous", f"{room.name} does not become public by this: leave it out"
                )
            if request.private == room.private:
                return []
            facts = Facts(sender=("operator",), private=False)
            return [draft_of(request, who, Destination.of(room), facts)]
        if request.history is None:
            raise _wrong_history(
                "missing",
                f"{room.name} becomes public: say whether those who join read what was written "
                "before: shown or hidden",
            )
        if request.history == "shown" and room.history == "hidden":
            raise _wrong_history(
                "hidden",
                f"what was written while the history of {room.name} was hidden stays hidden: "
                "say hidden",
            )
        drafts = []
        if request.history != room.history:
            drafts.append(
                make_draft(
                    who, Destination.of(room), "history", _OPERATES_PRIVATE, text=request.history
                )
            )
        facts = Facts(sender=("operator",), private=True, history=request.history)
        return [*drafts, draft_of(request, who, Destination.of(room), facts)]

    async def set_history(self, who: Identity, request: SetHistory) -> list[Draft]:
        """Show earlier messages to those who join from now on, or hide them."""
        room = await self._own_room(who, request.room, to="choose what those who join read")
        if not room.private:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                f"{room.name} is public, and its history is shown: make it private first",
                field="room",
                details={"rule": "public"},
            )
        if request.history == room.history:
            return []
        facts = Facts(sender=("operator",), private=True, history=room.history)
        return [draft_of(request, who, Destination.of(room), facts)]


def _check_topic(topic: str) -> None:
    check_length(topic, MAX_TOPIC, "a topic", "topic")


def _wrong_history(rule: str, text: str) -> ChatError:
    return ChatError(ErrorCode.BAD_REQUEST, text, field="history", details={"rule": rule})
