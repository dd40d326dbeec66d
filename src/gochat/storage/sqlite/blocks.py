"""Whom people block."""

from __future__ import annotations

import sqlite3

from msgspec.structs import replace

from gochat.chat.log import Draft
from gochat.chat.names import NameKey


def blocked(db: sqlite3.Connection, person: NameKey) -> list[str]:
    """See :meth:`gochat.chat.store.Store.blocked`."""
    rows = db.execute(
        "SELECT a.name FROM block b JOIN account a ON a.key = b.blocked WHERE b.person = ?"
        " ORDER BY b.blocked",
        (person,),
    )
    return [name for (name,) in rows]


def blockers(db: sqlite3.Connection, one: NameKey, other: NameKey) -> list[NameKey]:
    """See :meth:`gochat.chat.store.Store.blockers`."""
    rows = db.execute(
        "SELECT person FROM block WHERE (person, blocked) IN (VALUES (?1, ?2), (?2, ?1))",
        (one, other),
    )
    return [NameKey(person) for (person,) in rows]


def without_blocked_mentions(db: sqlite3.Connection, draft: Draft) -> Draft:
    """Return a draft that mentions only those who don't block its sender."""
    if not draft.mentioned:
        return draft
    kept = [
        (person, name)
        for person, name in zip(draft.mentioned, draft.mentions, strict=True)
        if person not in blockers(db, person, draft.sender_key)
    ]
    if len(kept) == len(draft.mentioned):
        return draft
    return replace(
        draft,
        mentioned=tuple(person for person, _ in kept),
        mentions=tuple(name for _, name in kept),
    )
