"""In which order conversations are listed, and in which groups. Pure.

What waits for the person is first, and all else stays where it is:

- *Unread* has what is unread and not muted: private messages and mentions first, then the others.
- *Invitations*, *Favourites*, *Rooms* and *Private* have the others.
- Within these, the lobby comes first, then rooms, then people, each by name.
- A conversation that is opened from *Unread* stays there until another one is opened: nothing moves
  below the cursor of who reads.

The n-th conversation, for the keys that have a number, is counted without what is unread:
favourites first, then by name. So a number stays with its conversation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from gochat.protocol.messages import LOBBY
from gochat.tui.model.views import ConversationView
from gochat.tui.text.names import natural

GroupName: TypeAlias = Literal["unread", "invitations", "favourites", "rooms", "private"]

_NAMES: Final[tuple[GroupName, ...]] = (
    "unread", "invitations", "favourites", "rooms", "private",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the list: the addresses in it. Folded, it shows only the conversation in use."""

    name: GroupName
    convs: tuple[str, ...]
    folded: bool = False


class Listed(Protocol):
    """What the list is made of: :class:`~gochat.tui.model.chat.ChatModel`."""

    conversations: dict[str, ConversationView]
    favourites: set[str]
    folded: set[GroupName]
    current: str
    shown_rank: int | None

    @property
    def invitations(self) -> Collection[str]:
        """The rooms to which the person is invited."""


def by_name(
    views: Iterable[ConversationView], favourites: Collection[str] = ()
) -> list[ConversationView]:
    """Return conversations in an order that does not depend on what is unread."""
    return sorted(views, key=lambda view: (view.conv not in favourites, *_place(view)))


def _place(view: ConversationView) -> tuple[bool, bool, str, str]:
    return not view.is_room, view.conv != LOBBY, natural(view.name), view.conv


def grouped(listed: Listed) -> list[Group]:
    """Return the groups that are not empty, in their order."""
    found: dict[GroupName, list[str]] = {name: [] for name in _NAMES}
    ranks: dict[str, int] = {}
    for view in by_name(listed.conversations.values()):
        rank = listed.shown_rank if view.conv == listed.current else view.rank
        if view.conv in listed.invitations and not view.joined:
            continue
        if rank is not None:
            ranks[view.conv] = rank
            found["unread"].append(view.conv)
        elif view.conv in listed.favourites:
            found["favourites"].append(view.conv)
        else:
            found["rooms" if view.is_room else "private"].append(view.conv)
    found["unread"].sort(key=ranks.__getitem__)
    found["invitations"] = sorted(
        (
            room
            for room in listed.invitations
            if room not in listed.conversations or not listed.conversations[room].joined
        ),
        key=lambda room: (natural(room), room),
    )
    return [
        Group(name, tuple(convs), name in listed.folded)
        for name, convs in found.items()
        if convs or name == "rooms"
    ]


def next_unread(ordered: Sequence[ConversationView], current: str) -> str | None:
    """Return the next conversation of `ordered` after the `current` one that has something unread.

    Mentions come first, and messages of one person to another count as such.
    """
    start = next((i for i, view in enumerate(ordered) if view.conv == current), 0)
    turned = [view for view in (*ordered[start:], *ordered[:start]) if view.conv != current]
    ranked = [view for view in turned if view.rank is not None]
    return min(ranked, key=lambda view: view.rank or 0).conv if ranked else None
