"""What can be done with a message, by a key or with the mouse: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from gochat.tui.chat_log.items import MessageState
from gochat.tui.language import N_

ActionName = Literal[
    "edit", "delete", "reply", "copy", "react", "open", "link", "retry", "report",
    "pin", "save",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MessageAction:
    """An action: `key` asks for it by default, `label` is its short name, `text` explains it;
    both are messages."""

    name: ActionName
    key: str
    label: str
    text: str

    @property
    def id(self) -> str:
        """The name of its binding, by which a keymap gives it another key."""
        return f"message_{self.name}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys: while something is being written, the letter alone is text.

        Configured keys with Alt are small letters, so a capital has none.
        """
        return (self.key,) if self.key.isupper() else (self.key, f"alt+{self.key}")

    @property
    def run(self) -> str:
        """The action in Textual's form."""
        return f"act({self.name!r})"


MESSAGE_ACTIONS: Final[tuple[MessageAction, ...]] = (
    MessageAction("reply", "r", N_("Reply"), N_("Reply")),
    MessageAction("react", "plus", N_("React"), N_("React")),
    MessageAction("edit", "e", N_("Edit"), N_("Edit your own")),
    MessageAction(
        "delete", "d", N_("Delete"), N_("Delete your own; discard one that was not sent")
    ),
    MessageAction("copy", "y", N_("Copy"), N_("Copy its text")),
    MessageAction("open", "o", N_("Open link"), N_("Open its link")),
    MessageAction("link", "l", N_("Copy link"), N_("Copy a link to it")),
    MessageAction("pin", "p", N_("Pin"), N_("Pin it for everybody here, or unpin it")),
    MessageAction("save", "s", N_("Save"), N_("Save it for yourself, or remove it from there")),
    MessageAction("report", "x", N_("Report"), N_("Report it to the moderators")),
    MessageAction("retry", "R", N_("Send again"), N_("Send again what was not sent")),
)


class ActionTarget(Protocol):
    """What decides which actions a message has."""

    @property
    def own(self) -> bool:
        """Whether the reader has written it."""

    @property
    def state(self) -> MessageState:
        """Whether it is sent."""

    @property
    def deleted(self) -> bool:
        """Whether only its place is left."""


def offered(message: ActionTarget) -> tuple[ActionName, ...]:
    """Return the actions to offer for `message`, the most usual first.

    Opening a link is never offered: the link itself can be clicked. An operator may delete
    messages of others, too, which the log does not know.
    """
    if message.deleted:
        return ()
    if message.state == "failed":
        return ("retry", "delete", "copy")
    if message.state == "pending":
        return ("copy",)
    own: tuple[ActionName, ...] = ("edit", "delete") if message.own else ()
    return ("reply", "react", "copy", *own)
