"""Handing over a room: who runs the server, or an admin, makes somebody its operator.

For a room whose operators are gone. It is an entry of the room's log, by the person who becomes an
operator; if they are not in the room, they join it by that. It lifts a ban of theirs.

A private room is nobody's but its operators', so admins hand over public ones only. Who runs the
server hands over private ones, too, such as one that everybody has left, which nobody can join any
more; but reads none by it: of a private room that they were not in, the person reads what is
written from then on, and so does everybody who joins it later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeAlias

from msgspec.structs import replace

from gochat.chat import conversations, names, operating
from gochat.chat.accounts import Identity
from gochat.chat.commits import Outcome, settle
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.directory import Destination
from gochat.chat.drafts import make_draft
from gochat.chat.facts import Facts
from gochat.chat.log import Appended, Draft
from gochat.chat.room_state import RoomState
from gochat.chat.server_roles import Actor, require_role
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode, StoreUnavailable

#: Called with the account's name and the room's, before they are changed.
Record: TypeAlias = Callable[[str, str], Awaitable[None]]


async def hand_over(
    store: Store,
    room: str,
    name: str,
    *,
    admin: Identity | None = None,
    record: Record | None = None,
) -> bool:
    """Make an account an operator of a room; return False if it is one already.

    Without an `admin`, who runs the server does it. Of other changes of the room at the same
    moment, each holds.

    Raises:
        ChatError: ``unknown_conversation``, ``unknown_person``; ``not_permitted``: it is the lobby,
            or the admin is not one, or may not do it in a private room; ``bad_request``: the
            account is disabled; ``busy``: the room keeps changing.
        StoreUnavailable: it may or may not be done.
    """
    if admin is not None:
        await _require_admin(store, admin)
    person = names.fold_person(name)
    account = await store.account(person)
    if account is None:
        raise conversations.nobody(name.removeprefix("@"), "name")
    if account.state != "active":
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            f"{account.name} can't log in: enable the account first",
            field="name",
            details={"rule": "disabled"},
        )
    key = conversations.key(room, person, "room")
    if key == LOBBY_KEY:
        raise ChatError(
            ErrorCode.NOT_PERMITTED,
            "#lobby is everybody's: it stays as it is",
            field="room",
            details={"rule": "lobby"},
        )
    who = Identity(person, account.name)

    async def decide(_: object) -> list[Draft]:
        state = None if conversations.is_private(key) else await store.room(key, person)
        if state is None:
            raise conversations.unknown(room, "room")
        facts = Facts(sender=(state.standing,), private=state.private)
        if admin is not None:
            await _require_admin(store, admin)
            if state.private:
                await _refuse_private(store, admin, state, room)
            facts = replace(facts, acts_on=(admin.key, "admin"))
        if state.role == "operator":
            return []
        if record is not None:
            await record(account.name, state.name)
        return [make_draft(who, Destination.of(state), "hand_over", facts)]

    outcome: Outcome = await settle(decide, store.append)
    if isinstance(outcome, ChatError | StoreUnavailable):
        raise outcome
    return isinstance(outcome, Appended)


async def _require_admin(store: Store, who: Identity) -> None:
    require_role(Actor(who.name, await operating.server_role(store, who.key)), "admin")


async def _refuse_private(store: Store, admin: Identity, state: RoomState, typed: str) -> NoReturn:
    """Refuse a private room, of which nobody who is neither in it nor invited learns anything."""
    own = await store.room(state.key, admin.key)
    if own is None or own.is_hidden:
        raise conversations.unknown(typed, "room")
    raise ChatError(
        ErrorCode.NOT_PERMITTED,
        f"{state.name} is private, and its operators' alone: only who runs the server can hand it "
        "over",
        field="room",
        details={"rule": "private"},
    )
