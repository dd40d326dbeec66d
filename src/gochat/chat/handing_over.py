"""Handing over a room: who runs the server makes somebody its operator.

For a private room that everybody has left, which nobody can join any more, and for one whose
operators are gone. It is an entry of the room's log, by the person who becomes an operator; if they
are not in the room, they join it by that. It lifts a ban of theirs.

Who runs the server reads no private room by it: of a private room that they were not in, the person
reads what is written from then on, and so does everybody who joins it later.
"""

from __future__ import annotations

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.commits import Outcome, settle
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.drafts import Destination, make_draft
from gochat.chat.facts import Facts
from gochat.chat.log import Appended, Draft
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode, StoreUnavailable


async def hand_over(store: Store, room: str, name: str) -> bool:
    """Make an account an operator of a room; return False if it is one already.

    Who may do this is for the caller to check. Of other changes of the room at the same moment,
    each holds.

    Raises:
        ChatError: ``unknown_conversation``, ``unknown_person``; ``not_permitted``: it is the lobby;
            ``bad_request``: the account is disabled; ``busy``: the room keeps changing.
        StoreUnavailable: it may or may not be done.
    """
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
        if state.role == "operator":
            return []
        facts = Facts(sender=(state.standing,), private=state.private)
        return [make_draft(who, Destination.of(state), "hand_over", facts)]

    outcome: Outcome = await settle(decide, store.append)
    if isinstance(outcome, ChatError | StoreUnavailable):
        raise outcome
    return isinstance(outcome, Appended)
