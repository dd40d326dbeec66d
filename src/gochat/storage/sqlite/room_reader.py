"""Queries about rooms. Each method is one query, answered from one snapshot."""

from __future__ import annotations

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.chat.modes import Modes
from gochat.chat.names import NameKey
from gochat.chat.room_state import RoomState
from gochat.protocol.messages import Invitation, Member, Room, RoomBan
from gochat.storage.sqlite import bans, blocks, modes
from gochat.storage.sqlite.connections import ConnectionPool


class RoomReader:
    """Answer queries about rooms, and about blocks, in any thread."""

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections

    def blocked(self, person: NameKey) -> list[str]:
        """See :meth:`gochat.chat.store.Store.blocked`."""
        with self._connections.snapshot() as db:
            return blocks.blocked(db, person)

    def blockers(self, one: NameKey, other: NameKey) -> list[NameKey]:
        """See :meth:`gochat.chat.store.Store.blockers`."""
        with self._connections.snapshot() as db:
            return blocks.blockers(db, one, other)

    def room(self, key: ConversationKey, person: NameKey, now: int) -> RoomState | None:
        """See :meth:`gochat.chat.store.Store.room`."""
        if conversations.is_private(key):
            return None
        with self._connections.snapshot() as db:
            row = db.execute(
                "SELECT c.id, c.name, c.topic, c.private, c.members, m.role, c.history,"
                " c.slow, c.announcements, c.archived"
                " FROM conversation c"
                " LEFT JOIN participant m ON m.conversation = c.id AND m.person = ?"
                " WHERE c.key = ?",
                (person, key),
            ).fetchone()
            if row is None:
                return None
            id_, name, topic, private, members, role, history, slow, announced, archived = row
            room_modes = Modes(slow, bool(announced), bool(archived))
            wait = modes.wait(db, id_, room_modes, person, now)
            ban = bans.find(db, id_, person, now) if role is None else None
        return RoomState(
            key=key,
            name=name,
            topic=topic,
            private=bool(private),
            members=members,
            role=role if ban is None else "banned",
            history=history,
            modes=room_modes,
            wait=wait,
            ban=ban,
        )

    def bans(
        self, key: ConversationKey, after: str, limit: int, now: int
    ) -> tuple[list[RoomBan], bool]:
        """See :meth:`gochat.chat.store.Store.bans`."""
        with self._connections.snapshot() as db:
            room = db.execute("SELECT id FROM conversation WHERE key = ?", (key,)).fetchone()
            return ([], False) if room is None else bans.page(db, room[0], after, limit, now)

    def rooms(self, person: NameKey, after: str, limit: int) -> tuple[list[Room], bool]:
        """See :meth:`gochat.chat.store.Store.rooms`."""
        with self._connections.snapshot() as db:
            rows = db.execute(
                "SELECT c.name, c.topic, c.members, c.private, m.role, c.archived"
                " FROM conversation c"
                " LEFT JOIN participant m ON m.conversation = c.id AND m.person = ?"
                " WHERE c.name > ? AND (NOT c.private OR m.role IS NOT NULL)"
                " ORDER BY c.name LIMIT ?",
                (person, after, limit + 1),
            ).fetchall()
        rooms = [
            Room(
                room=name,
                topic=topic,
                members=members,
                private=bool(private),
                joined=role in ("member", "operator"),
                archived=bool(archived),
            )
            for name, topic, members, private, role, archived in rows[:limit]
        ]
        return rooms, len(rows) > limit

    def invitations(self, person: NameKey) -> list[Invitation]:
        """See :meth:`gochat.chat.store.Store.invitations`."""
        with self._connections.snapshot() as db:
            rows = db.execute(
                "SELECT c.name, coalesce(a.name, ''), m.since, c.topic FROM participant m"
                " JOIN conversation c ON c.id = m.conversation"
                " LEFT JOIN account a ON a.key = m.inviter"
                " WHERE m.person = ? AND m.role = 'invited' ORDER BY c.name",
                (person,),
            ).fetchall()
        return [
            Invitation(room=room, from_=inviter, ts=since, topic=topic)
            for room, inviter, since, topic in rows
        ]

    def members(
        self, key: ConversationKey, after: str, limit: int
    ) -> tuple[list[Member], int, bool]:
        """See :meth:`gochat.chat.store.Store.members`."""
        with self._connections.snapshot() as db:
            room = db.execute("SELECT id, members FROM conversation WHERE key = ?", (key,))
            id_, total = room.fetchone() or (0, 0)
            rows = db.execute(
                "SELECT a.name, m.role, m.since FROM participant m"
                " JOIN account a ON a.key = m.person"
                " WHERE m.conversation = ? AND m.person > ? AND m.role IN ('member', 'operator')"
                " ORDER BY m.person LIMIT ?",
                (id_, after, limit + 1),
            ).fetchall()
        members = [
            Member(name=name, since=since, operator=role == "operator")
            for name, role, since in rows[:limit]
        ]
        return members, total, len(rows) > limit
