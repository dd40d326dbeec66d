"""The modes of a room: slow mode, announcements only, archived. Pure.

========================== ======== ============= ========
what                       slow     announcements archived
========================== ======== ============= ========
a message                  sometimes operators    nobody
an edit of one's own       yes      operators     nobody
a reaction, or taking back yes      yes           nobody
a topic (operators)        yes      yes           nobody
a pin (operators)          yes      yes           nobody
a deletion                 yes      yes           yes
========================== ======== ============= ========

An edit replaces a message and adds none, so slow mode lets it pass; where only operators write it
would be a way to write, so it does not. A reaction is bounded and disturbs nobody, as in other
chats with channels for announcements. Deleting stays possible everywhere: who wants a text gone
must be able to have it gone. Joining, leaving and what operators do to people is not writing.

Slow mode counts from a member's last message since it began, on whatever device, also if they have
left and joined again since. Operators are exempt, and so is who acts as one
(:mod:`gochat.chat.operating`): in the lobby, which has the first two modes, moderators and admins.
"""

from __future__ import annotations

from math import ceil
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import EntryKind

#: Why an entry is refused.
Closed: TypeAlias = Literal["archived", "announcements", "slow"]

#: What is written, and what changes that, except for deletions.
_CONTENT: Final = frozenset({"text", "edit", "react", "unreact", "topic", "pin", "unpin"})
_WRITTEN: Final = frozenset({"text", "edit"})


class Modes(Struct, frozen=True):
    """The modes; `slow` in seconds between the messages of a member, 0 for none."""

    slow: int = 0
    announcements: bool = False
    archived: bool = False

    def closed(self, kind: EntryKind, *, is_operator: bool, is_waiting: bool) -> Closed | None:
        """Return why a member can't write an entry of a kind now, or None.

        `is_waiting`: their last message is not as long ago as slow mode requires.
        """
        if self.archived and kind in _CONTENT:
            return "archived"
        if is_operator:
            return None
        if self.announcements and kind in _WRITTEN:
            return "announcements"
        return "slow" if self.slow and kind == "text" and is_waiting else None

    def changed(self, kind: EntryKind, text: str) -> Modes:
        """Return the modes after an entry of one of the kinds that change them."""
        match kind:
            case "slow":
                return Modes(int(text), self.announcements, self.archived)
            case "announcements":
                return Modes(self.slow, text == "on", self.archived)
            case "archive":
                return Modes(self.slow, self.announcements, text == "on")
            case _:
                return self


#: Those of a new room.
OPEN: Final = Modes()


def refusal(why: Closed, room: str, modes: Modes, wait: int, field: str) -> ChatError:
    """Return the error for an entry that is refused; `wait` is in milliseconds."""
    if why == "slow":
        seconds = max(1, ceil(wait / 1000))
        return ChatError(
            ErrorCode.SLOW_MODE,
            f"slow mode: in {room} you can write once in {modes.slow} s, again in {seconds} s",
            field=field,
            retry_after=seconds,
            details={"conv": room, "seconds": modes.slow},
        )
    text = (
        f"{room} is archived: it can be read, but not written to"
        if why == "archived"
        else f"only operators write in {room}"
    )
    return ChatError(ErrorCode.NOT_PERMITTED, text, field=field, details={"rule": why})
