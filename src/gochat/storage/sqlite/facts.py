"""Check a draft's facts again, in the transaction that appends it."""

from __future__ import annotations

import sqlite3
from typing import Final

from gochat.chat import conversations
from gochat.chat.facts import Facts
from gochat.chat.log import Draft
from gochat.chat.modes import OPEN
from gochat.chat.names import NameKey
from gochat.chat.restrictions import MUTED
from gochat.storage.sqlite import bans, modes
from gochat.storage.sqlite.directory import KnownConversation
from gochat.storage.sqlite.entries import first_id
from gochat.storage.sqlite.standing import Blocks, Mutes, server_role

#: Counts all other emoji, and those of one person. Seeks in the primary key from one emoji to the
#: next, however many people gave each.
_OTHER_EMOJI: Final = (
    "WITH RECURSIVE given (emoji) AS ("
    " SELECT min(emoji) FROM reaction WHERE entry = ?1"
    " UNION ALL"
    " SELECT (SELECT min(emoji) FROM reaction WHERE entry = ?1 AND emoji > given.emoji)"
    " FROM given WHERE given.emoji IS NOT NULL)"
    " SELECT count(*), count((SELECT 1 FROM reaction r"
    " WHERE r.entry = ?1 AND r.emoji = given.emoji AND r.person = ?3))"
    " FROM given WHERE emoji <> ?2"
)


#: People whose standing in one room is remembered.
_MOST: Final = 1_000


def hold(
    db: sqlite3.Connection,
    facts: Facts,
    draft: Draft,
    room: KnownConversation | None,
    now: int,
    mutes: Mutes,
    blocks: Blocks,
) -> bool:
    """Return True if a draft's facts still hold, by the clock at `now`."""
    if facts.is_open and not _is_open(db, draft, room, now, mutes, blocks):
        return False
    if (
        facts.is_audible
        and room is not None
        and mutes.hold(db, draft.sender_key, now)
        and not _is_private(db, room)
    ):
        return False
    if room is None:  # the first message of a private conversation
        return conversations.is_private(draft.conversation)
    if facts.sender or draft.ref is not None:
        role, floor = _standing(db, room, draft.sender_key, now)
        if facts.sender and role not in facts.sender:
            return False
        if draft.ref is not None and draft.ref <= floor:
            return False
    compared = [] if facts.acts_on is None else [facts.acts_on]
    if facts.server_role is not None:
        compared.append((draft.sender_key, facts.server_role))
    if any(server_role(db, person) != role for person, role in compared):
        return False
    if facts.subject and _standing(db, room, draft.subject, now)[0] not in facts.subject:
        return False
    if facts.operator is not None and _standing(db, room, facts.operator, now)[0] != "operator":
        return False
    if (facts.private, facts.history, facts.topic) != (None, None, None) or facts.is_alone:
        query = "SELECT private, history, topic, members FROM conversation WHERE id = ?"
        private, history, topic, members = db.execute(query, (room.id,)).fetchone()
        if facts.private is not None and facts.private != bool(private):
            return False
        if facts.history is not None and facts.history != history:
            return False
        if facts.topic is not None and facts.topic != topic:
            return False
        if facts.is_alone and members != 1:
            return False
    if draft.ref is None or (facts.other_emoji is None and facts.own_emoji is None):
        return True
    entry = first_id(room.id) + draft.ref
    found = db.execute(_OTHER_EMOJI, (entry, draft.text, draft.sender_key)).fetchone()
    allowed = (facts.other_emoji, facts.own_emoji)
    return all(most is None or count <= most for count, most in zip(found, allowed, strict=True))


def _is_open(
    db: sqlite3.Connection,
    draft: Draft,
    room: KnownConversation | None,
    now: int,
    mutes: Mutes,
    blocks: Blocks,
) -> bool:
    """Return whether a draft's sender may write to its conversation now."""
    if conversations.is_private(draft.conversation):
        return not blocks.keep(db, draft.conversation)
    if room is None:
        return True
    is_muted = draft.kind in MUTED and mutes.hold(db, draft.sender_key, now)
    if is_muted and not _is_private(db, room):
        return False
    if room.modes == OPEN:
        return True
    is_operator = _standing(db, room, draft.sender_key, now)[0] == "operator" or (
        server_role(db, draft.sender_key) != "member" and not _is_private(db, room)
    )
    wait = modes.wait(db, room.id, room.modes, draft.sender_key, now)
    why = room.modes.closed(draft.kind, is_operator=is_operator, is_waiting=wait > 0)
    return why is None


def _is_private(db: sqlite3.Connection, room: KnownConversation) -> bool:
    query = "SELECT private FROM conversation WHERE id = ?"
    return bool(db.execute(query, (room.id,)).fetchone()[0])


def _standing(
    db: sqlite3.Connection, room: KnownConversation, person: NameKey | None, now: int
) -> tuple[str, int]:
    """Return a person's role and floor."""
    known = None if person is None else room.standings.get(person)
    if known is not None:
        return known
    row = db.execute(
        "SELECT role, floor FROM participant WHERE person = ? AND conversation = ?",
        (person, room.id),
    ).fetchone()
    if row is not None and person is not None:
        if len(room.standings) >= _MOST:
            room.standings.clear()
        standing = room.standings[person] = str(row[0]), row[1]
        return standing
    is_banned = person is not None and bans.find(db, room.id, person, now) is not None
    return "banned" if is_banned else "nobody", 0
