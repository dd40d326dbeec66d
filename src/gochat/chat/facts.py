"""Facts that a decision was based on, so that the commit can compare them.

:mod:`gochat.chat.rooms` and :mod:`gochat.chat.drafts` supply them, stores compare them
(:meth:`gochat.chat.store.Store.append`), and :mod:`gochat.chat.commits` decides again.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from gochat.chat.names import NameKey
from gochat.chat.server_roles import ServerRole
from gochat.protocol.messages import HistorySetting

#: A person's role in a room. Who is banned is neither in it nor invited.
Role: TypeAlias = Literal["nobody", "banned", "invited", "member", "operator"]
#: The roles of those who are in it.
INSIDE: Final[tuple[Role, ...]] = ("member", "operator")


class Facts(Struct, frozen=True, kw_only=True):
    """What a draft's decision was based on, and must still hold in the commit that appends it.

    With any facts, the message `ref` of the draft must not be hidden from its sender. Only what the
    decision depends on is set, and nothing else is compared: people who join and leave don't get in
    the way of those who talk.
    """

    #: The sender has one of these roles; and the draft's subject one of those.
    sender: tuple[Role, ...] = ()
    subject: tuple[Role, ...] = ()
    #: The sender has this role at the server (:mod:`gochat.chat.operating`); and who is acted on,
    #: whether or not that is the subject, has that one. Of a ``hand_over``, who hands over has it.
    server_role: ServerRole | None = None
    acts_on: tuple[NameKey, ServerRole] | None = None
    #: This person is an operator: the one who remains when the sender ceases to be one.
    operator: NameKey | None = None
    #: The room is private, or it is public.
    private: bool | None = None
    #: Its history is shown to those who join, or it is hidden.
    history: HistorySetting | None = None
    #: This is its topic.
    topic: str | None = None
    #: Nobody besides the sender is in the room.
    is_alone: bool = False
    #: The conversation lets the sender write an entry of the draft's kind now: in a private one,
    #: neither of the two blocks the other (:mod:`gochat.chat.blocks`); in a room, its modes permit
    #: it (:mod:`gochat.chat.modes`), and unless it is private, the sender is not muted
    #: (:mod:`gochat.chat.restrictions`).
    is_open: bool = False
    #: Unless the room is private, the sender is not muted: what they do may say why.
    is_audible: bool = False
    #: The message `ref` has at most this many different emoji besides the draft's own.
    other_emoji: int | None = None
    #: The sender has given it at most this many besides that one.
    own_emoji: int | None = None
