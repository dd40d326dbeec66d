"""Session tokens, and programs' tokens, as they are kept."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.protocol.messages import TokenScope

#: Tokens of an account, of its devices and of its programs. Neither kind takes the other's room:
#: logging in again and again ends no program, and programs log nobody out.
MAX_DEVICES: Final = 24
MAX_PROGRAMS: Final = 8
#: In bytes.
TOKEN_ID_SIZE: Final = 16


class Token(Struct, frozen=True, kw_only=True):
    """A session: a device on which a person is logged in, or a program's.

    `id` names it; `digest` is the SHA-256 of its secret. `generation` is the account's at the time
    of the login; the token is valid while the account still has the same. `device` is what its
    owner calls it, and `address` where it was last used from. `created`, `seen` (its last use, to a
    day) and `expires` are in milliseconds since the Unix epoch.

    A program's token has `scopes`, and perhaps `rooms`, by their keys
    (:class:`~gochat.chat.grants.Grant`); a device's has neither.
    """

    id: bytes
    digest: bytes
    account: NameKey
    expires: int
    generation: int = 0
    device: str = ""
    address: str = ""
    created: int = 0
    seen: int = 0
    scopes: tuple[TokenScope, ...] = ()
    rooms: tuple[ConversationKey, ...] = ()

    @property
    def is_program(self) -> bool:
        """Whether it was made for a program, and not by a login."""
        return bool(self.scopes)
