"""Who acts as an operator, and on whom.

In a room, its operators do. In ``#lobby``, and in the public rooms that they are in, so do
moderators and admins (:mod:`gochat.chat.server_roles`); what makes a room somebody's, choosing its
operators and who may join it, stays with its operators. A private room is nobody's but its
operators'.

Nobody acts by their role at the server on somebody of an equal or higher one, and in a public room
no operator does on somebody of a higher role: else who runs a room for spam could keep those out
who moderate. Acting on somebody is to remove or ban them, or to delete what they wrote.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gochat.chat.accounts import Identity
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.facts import INSIDE, Facts
from gochat.chat.names import NameKey
from gochat.chat.room_state import RoomState
from gochat.chat.server_roles import RANKS, Actor, ServerRole, require_over
from gochat.chat.store import Store

_OPERATOR: Final = Facts(sender=("operator",))


async def server_role(store: Store, person: NameKey) -> ServerRole:
    """Return the role of a person at the server."""
    account = await store.account(person)
    return "member" if account is None else account.role


async def operating(store: Store, who: Identity, room: RoomState) -> Facts | None:
    """Return the facts by which a person acts as an operator of a room or the lobby, or None."""
    if room.role == "operator":
        return _OPERATOR
    is_lobby = room.key == LOBBY_KEY
    if room.private or not (is_lobby or room.is_inside):
        return None
    role = await server_role(store, who.key)
    if role == "member":
        return None
    if is_lobby:
        return Facts(server_role=role)
    return Facts(sender=INSIDE, private=False, server_role=role)


async def acting_on(
    store: Store, who: Identity, room: RoomState, facts: Facts, person: NameKey
) -> Facts:
    """Return the facts by which somebody who acts as an operator may act on another person.

    Raises:
        ChatError: ``not_permitted``: that person has too high a role at the server.
    """
    if room.private:
        return replace(facts, private=True)
    theirs = await server_role(store, person)
    if facts.server_role is not None:
        require_over(Actor(who.name, facts.server_role), theirs)
    else:
        facts = replace(facts, private=False)
        if theirs != "member":
            own = await server_role(store, who.key)
            if RANKS[own] < RANKS[theirs]:
                require_over(Actor(who.name, own), theirs)
            facts = replace(facts, server_role=own)
    return replace(facts, acts_on=(person, theirs))
