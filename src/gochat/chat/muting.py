"""Whether a mute at the server (:mod:`gochat.chat.restrictions`) refuses what somebody writes."""

from __future__ import annotations

from msgspec.structs import replace

from gochat.chat.accounts import Identity
from gochat.chat.facts import Facts
from gochat.chat.refusals import muted
from gochat.chat.restrictions import MUTED
from gochat.chat.room_state import RoomState
from gochat.chat.store import Store
from gochat.errors import ChatError
from gochat.protocol.messages import EntryKind


async def mute_refusal(
    store: Store, who: Identity, room: RoomState, kind: EntryKind, field: str
) -> ChatError | None:
    """Return None, or the error for an entry of a kind by who is muted."""
    if room.private or kind not in MUTED:
        return None
    mute = await store.mute(who.key)
    return None if mute is None else muted(mute, field)


async def saying_why(
    store: Store, who: Identity, room: RoomState, facts: Facts | None, reason: str
) -> Facts | None:
    """Return the facts by which somebody may do something for a reason, which the room reads.

    Raises:
        ChatError: ``muted``: they may do it, but not say why.
    """
    if not reason:
        return facts
    if not room.private and (mute := await store.mute(who.key)) is not None:
        raise muted(mute, "reason")
    return replace(facts or Facts(), is_audible=True)
