"""Server roles: what somebody may do beyond what everybody may, and to whom.

The *owner* is whoever reaches the admin socket (:mod:`gochat.server.admin`); no account is. All
others have the role of their account. It is read when it is needed, so a change holds at once, on
all nodes, also for sessions that are logged in.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import ServerRole

__all__ = ["RANKS", "Actor", "ActorRole", "ServerRole", "require_over", "require_role"]

#: The role of who acts.
ActorRole: TypeAlias = Literal["member", "moderator", "admin", "owner"]

#: Higher roles have higher ranks.
RANKS: Final[dict[ActorRole, int]] = {"member": 0, "moderator": 1, "admin": 2, "owner": 3}


class Actor(NamedTuple):
    """Who acts: `name` is for the audit log."""

    name: str
    role: ActorRole


def require_role(actor: Actor, least: ActorRole) -> None:
    """Require that somebody has at least this role.

    Raises:
        ChatError: ``not_permitted``.
    """
    if RANKS[actor.role] < RANKS[least]:
        raise ChatError(
            ErrorCode.NOT_PERMITTED,
            f"only {_SPOKEN[least]} may do this, and {actor.name} is {_SPOKEN[actor.role]}",
            details={"rule": "role"},
        )


def require_over(actor: Actor, subject: ServerRole) -> None:
    """Require that somebody may act on an account of this role: nobody acts on an equal or higher
    one.

    Raises:
        ChatError: ``not_permitted``.
    """
    if RANKS[actor.role] <= RANKS[subject]:
        raise ChatError(
            ErrorCode.NOT_PERMITTED,
            f"{actor.name} is {_SPOKEN[actor.role]}, and can't act on {_SPOKEN[subject]}: "
            "that needs a higher role",
            details={"rule": "rank"},
        )


_SPOKEN: Final[dict[ActorRole, str]] = {
    "member": "a member",
    "moderator": "a moderator",
    "admin": "an admin",
    "owner": "the owner",
}
