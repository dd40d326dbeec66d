"""Claims on names and on their lookalikes. Each function runs inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from gochat.chat import skeletons
from gochat.chat.names import NameKey, known
from gochat.storage.common import lookalikes
from gochat.storage.common.lookalikes import Named


def define(db: sqlite3.Connection) -> None:
    """Define the SQL functions ``skeleton(form)`` and ``capitals(key)``."""
    db.create_function("capitals", 1, skeletons.capitals, deterministic=True)
    db.create_function("skeleton", 1, skeletons.skeleton, deterministic=True)


def claim(db: sqlite3.Connection, key: str, shown: str) -> None:
    """Claim a name for the account or room `key`. Writes nothing if it raises.

    Raises:
        ChatError: ``name_taken`` or ``room_exists``: it looks like another name.
    """
    if _other(db, key, shown) is not None:
        raise skeletons.looks_taken(shown)
    wanted = skeletons.skeletons(shown)
    add = "INSERT INTO skeleton (skeleton, key) VALUES (?, ?) ON CONFLICT DO NOTHING"
    db.executemany(add, [(skeleton, key) for skeleton in wanted])


def similar(db: sqlite3.Connection, names: Sequence[str]) -> dict[str, NameKey]:
    """See :meth:`gochat.chat.administration.Administration.similar`."""
    others = ((shown, _other(db, known(shown), shown)) for shown in names)
    return {shown: NameKey(other) for shown, other in others if other is not None}


def _other(db: sqlite3.Connection, key: str, shown: str) -> str | None:
    """Return the key of another name that looks like this one, or None."""
    for skeleton in skeletons.skeletons(shown):
        query = "SELECT key FROM skeleton WHERE skeleton = ?"
        row = db.execute(query, (skeleton,)).fetchone()
        if row is not None and row[0] != key:
            return str(row[0])
    return None


def claim_all(db: sqlite3.Connection) -> None:
    """Rebuild the claims on all names: the oldest name keeps a claim."""
    db.execute("DELETE FROM skeleton")
    db.executemany(
        "INSERT INTO skeleton (skeleton, key) VALUES (?, ?)", lookalikes.claims(_named(db))
    )


def collisions(db: sqlite3.Connection) -> Iterator[str]:
    """Yield a description of each name that looks like an older one."""
    return lookalikes.collisions(_named(db))


def _named(db: sqlite3.Connection) -> Iterator[Named]:
    for row in db.execute(
        "SELECT created, key, name FROM account"
        " UNION ALL SELECT id, key, name FROM conversation WHERE name IS NOT NULL"
    ):
        yield Named(*row)
