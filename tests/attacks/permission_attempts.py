"""How each row of `permissions.py` is tried: by which request, and what undoes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import structs
from permission_world import (
    ACTORS,
    BANNED,
    OUTSIDER,
    OWNER,
    PEER,
    SUBJECT,
    Conversation,
    Undo,
)
from permissions import PEOPLE, Place, Row
from worst_inputs import VALID

from gochat.protocol.messages import (
    Ban,
    Block,
    CreateRoom,
    Decline,
    Delete,
    Edit,
    HandOver,
    History,
    Invite,
    Join,
    Kick,
    Leave,
    Mark,
    Pin,
    Pins,
    React,
    Report,
    Request,
    Restrict,
    Save,
    Search,
    Send,
    SetAccess,
    SetAnnouncements,
    SetArchived,
    SetHistory,
    SetOperator,
    SetSlowMode,
    SetTopic,
    Unban,
    Unblock,
    Unrestrict,
)


@dataclass(frozen=True)
class Attempt:
    """How a row is tried: the request, and who undoes it by which, if it was granted."""

    request: Callable[[Conversation, str], Any]
    undo: Callable[[Conversation, str], Sequence[Undo]] = lambda *_: ()


def _in_again(name: str, *, operates: bool = False) -> Callable[[Conversation, str], list[Undo]]:
    """Return what brings somebody back into a room; `name` may be ``actor``."""

    def undo(to: Conversation, actor: str) -> list[Undo]:
        who = actor if name == "actor" else name
        is_operator = operates or (name == "actor" and to.role == "operator")
        back: list[Undo] = [(OWNER, Invite(room=to.address, name=who))]
        back.append((who, Join(room=to.address)))
        if is_operator:
            back.append((OWNER, SetOperator(room=to.address, name=who)))
        return back

    return undo


def _out_again(to: Conversation, actor: str) -> list[Undo]:
    if to.role not in ("outside", "invited"):
        return []
    again: list[Undo] = [(actor, Leave(room=to.address))]
    if to.role == "invited":
        again.append((OWNER, Invite(room=to.address, name=actor)))
    return again


def _by_owner(
    make: Callable[[Conversation, str], Any],
) -> Callable[[Conversation, str], Sequence[Undo]]:
    def undo(to: Conversation, actor: str) -> Sequence[Undo]:
        who = ACTORS["admin"] if to.place is Place.LOBBY else OWNER
        return [(who, make(to, actor))]

    return undo


def _unpinned(to: Conversation, actor: str) -> Sequence[Undo]:
    who = ACTORS["admin"] if to.place is Place.LOBBY else OWNER
    unpin = Pin(to=to.address, seq=to.theirs, on=False)
    return [(actor if to.place in PEOPLE else who, unpin)]


def _access(to: Conversation, *, private: bool) -> SetAccess:
    return SetAccess(room=to.address, private=private, history=None if private else "shown")


#: By the request and its case, as in a row.
ATTEMPTS: Final[Mapping[tuple[type[Request], str], Attempt]] = {
    (History, ""): Attempt(lambda to, _: History(conv=to.address)),
    (Search, "in it"): Attempt(lambda to, _: Search(query="hi", conv=to.address)),
    (Mark, ""): Attempt(lambda to, _: Mark(conv=to.address, read=1, level="all")),
    (Send, "`@room`"): Attempt(lambda to, _: Send(to=to.address, text="@room look")),
    (Edit, "one's own message"): Attempt(
        lambda to, actor: Edit(to=to.address, seq=to.own.get(actor, to.theirs), text="new")
    ),
    (Edit, "another's"): Attempt(lambda to, _: Edit(to=to.address, seq=to.theirs, text="new")),
    (React, ""): Attempt(lambda to, _: React(to=to.address, seq=to.theirs, emoji="👍")),
    (Pin, ""): Attempt(lambda to, _: Pin(to=to.address, seq=to.theirs), _unpinned),
    (Pins, ""): Attempt(lambda to, _: Pins(conv=to.address)),
    (Save, ""): Attempt(lambda to, _: Save(to=to.address, seq=to.theirs)),
    (Delete, "one's own message"): Attempt(
        lambda to, actor: Delete(to=to.address, seq=to.own_to_delete.get(actor, to.theirs))
    ),
    (Delete, "another's"): Attempt(
        lambda to, actor: Delete(
            to=to.address,
            seq=to.to_delete[[*ACTORS.values()].index(actor) % len(to.to_delete)]
            if to.to_delete
            else 1,
        )
    ),
    (Report, ""): Attempt(lambda to, _: Report(to=to.address, seqs=(to.theirs,))),
    (Block, ""): Attempt(
        lambda to, _: Block(name=to.address),
        lambda to, actor: [(actor, Unblock(name=to.address))] * (to.place is not Place.BLOCKED),
    ),
    (Unblock, ""): Attempt(
        lambda to, _: Unblock(name=to.address),
        lambda to, actor: [(actor, Block(name=to.address))] * (to.place is Place.BLOCKED),
    ),
    (Restrict, ""): Attempt(
        lambda to, _: Restrict(name=to.address, kind="mute", seconds=60),
        lambda to, actor: [(actor, Unrestrict(name=to.address, kind="mute"))],
    ),
    (Unrestrict, ""): Attempt(lambda to, _: Unrestrict(name=to.address, kind="mute")),
    (SetTopic, ""): Attempt(
        lambda to, _: SetTopic(room=to.address, topic="news"),
        _by_owner(lambda to, _: SetTopic(room=to.address, topic="")),
    ),
    (SetSlowMode, ""): Attempt(
        lambda to, _: SetSlowMode(room=to.address, seconds=60),
        _by_owner(lambda to, _: SetSlowMode(room=to.address, seconds=to.slow)),
    ),
    (SetAnnouncements, ""): Attempt(
        lambda to, _: SetAnnouncements(room=to.address, on=not to.announces),
        _by_owner(lambda to, _: SetAnnouncements(room=to.address, on=to.announces)),
    ),
    (SetArchived, ""): Attempt(
        lambda to, _: SetArchived(room=to.address, on=not to.is_archived),
        _by_owner(lambda to, _: SetArchived(room=to.address, on=to.is_archived)),
    ),
    (SetHistory, ""): Attempt(
        lambda to, _: SetHistory(room=to.address, history="hidden"),
        _by_owner(lambda to, _: SetHistory(room=to.address, history="shown")),
    ),
    (SetAccess, ""): Attempt(
        lambda to, _: _access(to, private=not to.is_private),
        _by_owner(lambda to, _: _access(to, private=to.is_private)),
    ),
    (SetOperator, "of a member"): Attempt(
        lambda to, _: SetOperator(room=to.address, name=SUBJECT),
        _by_owner(lambda to, _: SetOperator(room=to.address, name=SUBJECT, on=False)),
    ),
    (SetOperator, "of somebody outside"): Attempt(
        lambda to, _: SetOperator(room=to.address, name=OUTSIDER)
    ),
    (HandOver, ""): Attempt(
        lambda to, _: HandOver(room=to.address, name=SUBJECT),
        _by_owner(lambda to, _: SetOperator(room=to.address, name=SUBJECT, on=False)),
    ),
    (Invite, ""): Attempt(
        lambda to, _: Invite(room=to.address, name=OUTSIDER),
        _by_owner(lambda to, _: Kick(room=to.address, name=OUTSIDER)),
    ),
    (Invite, "a member"): Attempt(lambda to, _: Invite(room=to.address, name=SUBJECT)),
    (Invite, "who is banned"): Attempt(lambda to, _: Invite(room=to.address, name=BANNED)),
    (Kick, "a member"): Attempt(
        lambda to, _: Kick(room=to.address, name=SUBJECT), _in_again(SUBJECT)
    ),
    (Kick, "another operator"): Attempt(
        lambda to, _: Kick(room=to.address, name=PEER), _in_again(PEER, operates=True)
    ),
    (Kick, "somebody outside"): Attempt(lambda to, _: Kick(room=to.address, name=OUTSIDER)),
    (Kick, "oneself"): Attempt(lambda to, actor: Kick(room=to.address, name=actor)),
    (Ban, ""): Attempt(
        lambda to, _: Ban(room=to.address, name=PEER),
        lambda to, actor: [
            (OWNER, Unban(room=to.address, name=PEER)),
            *_in_again(PEER, operates=True)(to, actor),
        ],
    ),
    (Ban, "oneself"): Attempt(lambda to, actor: Ban(room=to.address, name=actor)),
    (Unban, ""): Attempt(
        lambda to, _: Unban(room=to.address, name=BANNED),
        _by_owner(lambda to, _: Ban(room=to.address, name=BANNED)),
    ),
    (Join, ""): Attempt(lambda to, _: Join(room=to.address), _out_again),
    (Leave, ""): Attempt(lambda to, _: Leave(room=to.address), _in_again("actor")),
    (Decline, ""): Attempt(
        lambda to, _: Decline(room=to.address),
        lambda to, actor: [(OWNER, Invite(room=to.address, name=actor))] * (to.role == "invited"),
    ),
    (CreateRoom, ""): Attempt(
        # Whoever tries next needs another room that is not there.
        lambda to, actor: CreateRoom(
            room=f"#of_{actor}" if to.place is Place.ABSENT else to.address
        )
    ),
}


def attempt_of(row: Row) -> Attempt:
    """Return how a row is tried: requests that need nothing but a conversation are all alike."""
    found = ATTEMPTS.get((row.request, row.case))
    if found is not None:
        return found
    field = next(name for name in ("to", "conv", "room") if hasattr(VALID[row.request], name))
    return Attempt(lambda to, _: structs.replace(VALID[row.request], **{field: to.address}))


def is_so_already(row: Row, to: Conversation) -> bool:
    """Return whether a granted request changes nothing, and is answered `ok`."""
    if row.request is Join:
        return to.role in ("member", "operator")
    return row.request is Decline
