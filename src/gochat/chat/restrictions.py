"""Restrictions at the server: somebody is muted, or banned, for a time or until it is lifted.

Who is **muted** writes nothing in the lobby and in public rooms: no message, edit, reaction, topic,
pin or reason, and has no away notice and no status. Private conversations and private rooms are
nobody's to moderate, so a mute does not reach there: who is muted can ask a moderator why. Reading,
and taking back what one wrote, go on. A mute is compared in the commit (:attr:`.Facts.is_open`,
:attr:`.Facts.is_audible`).

Who is **banned** has no session, and gets none: as with a disabled account, a ban is another
generation of the account, which voids all tokens, and a login is refused.

Moderators restrict members, for at most :data:`MOST_BY_MODERATORS`; admins also moderators, and for
as long as they like. What somebody of a higher role has imposed only such a one lifts or replaces.

One that has ended is none: nothing has to happen at its end.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gochat.chat.account import Account, require_not_deleted
from gochat.chat.extras import MAX_REASON
from gochat.chat.refusals import check_length
from gochat.chat.restriction import Restriction, held
from gochat.chat.server_roles import RANKS, Actor, ActorRole, require_over, require_role
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import EntryKind, RestrictionKind

#: Seconds for which a moderator restricts somebody at most.
MOST_BY_MODERATORS: Final = 30 * 24 * 3600
#: The entries that who is muted does not write. Taking back what one gave or wrote is not among
#: them.
MUTED: Final[frozenset[EntryKind]] = frozenset({"text", "edit", "react", "topic", "pin"})

_LIMITED: Final[frozenset[ActorRole]] = frozenset({"member", "moderator"})


class Change(Struct, frozen=True, kw_only=True):
    """A restriction that somebody imposes, for `seconds`, None until it is lifted; or lifts."""

    kind: RestrictionKind
    on: bool
    seconds: int | None = None
    reason: str = ""

    def made(self, actor: Actor, account: Account, now: int) -> Account:
        """Return an account after it; the same account if it changes nothing.

        Raises:
            ChatError: ``not_permitted``, ``text_too_long``; ``bad_request``: it was deleted.
        """
        require_role(actor, "moderator")
        require_over(actor, account.role)
        require_not_deleted(account)
        check_length(self.reason, MAX_REASON, "a reason", "reason")
        before = of(account, self.kind)
        is_long = self.seconds is None or self.seconds > MOST_BY_MODERATORS
        if self.on and is_long and actor.role in _LIMITED:
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                f"a moderator can do this for {MOST_BY_MODERATORS // 86400} days at most",
                field="seconds",
                details={"rule": "duration"},
            )
        if (earlier := held(before, now)) is not None and RANKS[actor.role] < RANKS[earlier.role]:
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                f"it was imposed by {earlier.by}, who has a higher role",
                details={"rule": "rank"},
            )
        if not self.on:
            return account if before is None else _with(account, self.kind, None)
        until = now + 1000 * self.seconds if self.seconds else 0
        after = _with(
            account,
            self.kind,
            Restriction(by=actor.name, role=actor.role, since=now, until=until, reason=self.reason),
        )
        if self.kind == "ban":
            after = replace(after, generation=account.generation + 1)
        return after


def of(account: Account, kind: RestrictionKind) -> Restriction | None:
    """Return a restriction of an account, whether or not it has ended."""
    return account.ban if kind == "ban" else account.mute


def _with(account: Account, kind: RestrictionKind, restriction: Restriction | None) -> Account:
    if kind == "ban":
        return replace(account, ban=restriction)
    return replace(account, mute=restriction)
