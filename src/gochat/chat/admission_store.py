"""What a store keeps of who may register: see :mod:`gochat.chat.admission`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey

#: Invitations that a store keeps. They are forgotten some time after they have expired, in
#: milliseconds.
MAX_KEPT: Final = 10_000
KEPT_AFTER: Final = 90 * 24 * 3600 * 1000
#: Bytes of a digest that name an invitation to people: too few to tell anything of its code.
_ID_SIZE: Final = 6


class ServerInvitation(Struct, frozen=True, kw_only=True):
    """An invitation to the server: a code with which `uses` people can register.

    `digest` is the SHA-256 of the code. `maker` is None if it is of whoever runs the server. Those
    who register join `room`, if there is one. `created`, `expires` and `revoked` (0 if it was not)
    are in milliseconds since the Unix epoch. `used` are the accounts that were made with it, in
    the order of their keys.
    """

    digest: bytes
    maker: NameKey | None
    room: ConversationKey | None
    note: str
    uses: int
    created: int
    expires: int
    revoked: int = 0
    used: tuple[NameKey, ...] = ()

    @property
    def id(self) -> str:
        """What people call it."""
        return self.digest[:_ID_SIZE].hex()

    @property
    def left(self) -> int:
        """How many people can still register with it, if it is neither expired nor revoked."""
        return max(0, self.uses - len(self.used))

    def is_good(self, now: int) -> bool:
        """Return whether somebody can register with it."""
        return not self.revoked and now < self.expires and self.left > 0


class AdmissionStore(Protocol):
    """What a store keeps for this: see :class:`gochat.chat.store.Store` for what applies to all.

    :meth:`.Store.create_account` takes a use of an invitation.
    """

    async def mode(self) -> str | None:
        """Return the mode that was set, or None."""
        ...

    async def set_mode(self, mode: str | None) -> None:
        """Set the mode, or clear it with None."""
        ...

    async def add(self, invitation: ServerInvitation) -> bool:
        """Add an invitation; forget those that expired :data:`KEPT_AFTER` before it was made.

        Return False, and add nothing, if there are :data:`MAX_KEPT` others.
        """
        ...

    async def invitation(self, digest: bytes) -> ServerInvitation | None:
        """Return an invitation, whether or not it can be used, or None."""
        ...

    async def invitations(self) -> Sequence[ServerInvitation]:
        """Return all invitations, in the order in which they were made."""
        ...

    async def revoke(self, digest: bytes, now: int) -> bool:
        """Revoke an invitation; return False if there is none, or it was revoked before."""
        ...
