"""A room as a person finds it: what it is now, and who they are in it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.chat.facts import INSIDE, Role
from gochat.chat.modes import Modes, refusal
from gochat.errors import ChatError
from gochat.protocol.messages import EntryKind, HistorySetting, RoomBan


class RoomState(Struct, frozen=True, kw_only=True):
    """A room. `role` is that of the person it was read for: None if not a member."""

    key: ConversationKey
    name: str
    topic: str
    private: bool
    members: int
    role: Literal["member", "operator", "invited", "banned"] | None = None
    history: HistorySetting = "shown"
    modes: Modes = Modes()
    #: Milliseconds until slow mode lets the person write.
    wait: int = 0
    #: Of a person who is banned.
    ban: RoomBan | None = None

    @property
    def standing(self) -> Role:
        """The role, as :class:`Facts` has it."""
        return self.role or "nobody"

    def refusal(
        self, kind: EntryKind, field: str, *, is_operator: bool = False
    ) -> ChatError | None:
        """Return None, or the error for an entry of a kind that the room's modes don't permit.

        `is_operator`: the person acts as one, although they are not.
        """
        is_operator = is_operator or self.role == "operator"
        why = self.modes.closed(kind, is_operator=is_operator, is_waiting=self.wait > 0)
        return None if why is None else refusal(why, self.name, self.modes, self.wait, field)

    @property
    def is_inside(self) -> bool:
        """True if the person is in the room."""
        return self.role in INSIDE

    @property
    def is_hidden(self) -> bool:
        """True if the room's existence must be kept from the person.

        It is private, and they are neither in it nor invited.
        """
        return self.private and self.role in (None, "banned")
