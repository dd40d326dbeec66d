"""The part of the store that only those use who administer the server: see :class:`Administration`.

What applies to all methods of a store (:mod:`gochat.chat.store`) applies here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from gochat.chat.account import Account
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.server_roles import ServerRole

#: The newest entries of the audit log that are kept. With an act every five minutes, day and night,
#: that is a year; in Redis, it is some 20 MB.
AUDIT_KEPT: Final = 100_000


class AuditEntry(Struct, frozen=True, kw_only=True):
    """An act of somebody who administers the server.

    `id` counts them, from 1. `at` is when, `actor` who did it, `act` what, `subject` to whom or
    what, `detail` how exactly, and `reason` why, as the actor said. All are texts for people.
    """

    id: int = 0
    at: int
    actor: str
    act: str
    subject: str = ""
    detail: str = ""
    reason: str = ""


class Administration(Protocol):
    """Accounts as a whole, and the audit log."""

    async def accounts(self, *, after: NameKey, limit: int) -> tuple[list[Account], bool]:
        """Return a page of all accounts, by key, and whether there are more."""
        ...

    async def similar(self, names: Sequence[str]) -> dict[str, NameKey]:
        """Return those displayed names, of at most 500, that look like one that is taken, each with
        the key of whose that is (:mod:`gochat.chat.skeletons`).

        One that is taken itself looks like nothing else.
        """
        ...

    async def change_account(
        self, before: Account, after: Account, by: tuple[NameKey, ServerRole] | None = None
    ) -> bool:
        """Set role, bot, state, generation, ban and mute of an account, in one step; return whether
        it did.

        Only if it still has those of `before`, and the person in `by` still has that role: of
        concurrent changes one succeeds. With another generation, no token of an earlier one is
        valid from then on, whenever it is added, and the addresses that the account has logged in
        from are forgotten. From the return on, :meth:`~gochat.chat.store.Store.append` compares the
        new role and the new mute. The person's status goes if :func:`gochat.chat.status.ends_with`
        says so.
        """
        ...

    async def forget(self, person: NameKey) -> None:
        """Forget what is kept of a person whose account is deleted, besides what they wrote.

        The password, the addresses, their read markers and levels, and that private conversations
        are theirs. Of the rooms they are in, only what they have read.
        """
        ...

    async def deleted(self) -> set[NameKey]:
        """Return the accounts that are deleted and forgotten."""
        ...

    async def conversations(self, *, after: str) -> list[tuple[ConversationKey, str]]:
        """Return some of all conversations, each with the cursor that continues after it.

        `after` is such a cursor, empty at first; there are no more when it returns none. One that
        is created meanwhile may be missing.
        """
        ...

    async def addresses(self, person: NameKey) -> list[tuple[str, int]]:
        """Return the addresses that a person has logged in from, each with the last time."""
        ...

    async def seen_from(self, people: Sequence[NameKey], now: int) -> dict[NameKey, dict[str, int]]:
        """Return from which addresses each of at most 500 people was seen, with the last time.

        That is where their valid sessions were used last, and where they have logged in by
        password, as far as that is remembered (:data:`~gochat.chat.store.LOGIN_MEMORY`). Times are
        in milliseconds since the Unix epoch, as is `now`. Who was seen nowhere is left out.
        """
        ...

    async def restricted(self, *, after: NameKey, limit: int) -> tuple[list[Account], bool]:
        """Return a page of the accounts that have a ban or a mute, by key, and whether there are
        more. These may have ended."""
        ...

    async def staff(self) -> dict[NameKey, ServerRole]:
        """Return all whose role is a higher one than that of a member."""
        ...

    async def record(self, entry: AuditEntry) -> int:
        """Append an entry to the audit log, and return its id; that of `entry` is ignored.

        Nothing ever changes it. Only the newest :data:`AUDIT_KEPT` entries are kept.
        """
        ...

    async def audit(self, *, before: int | None, limit: int) -> tuple[list[AuditEntry], bool]:
        """Return a page of the audit log, the newest first, and whether there are older ones.

        It has entries with ids less than `before`, or without that the newest.
        """
        ...
