"""What a chat log shows: messages, and notices of what happened between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

MessageState = Literal["sent", "pending", "failed"]

#: How the log shows the time of a message: 14:30, 2:30p, or only in a tip.
Clock = Literal["24h", "12h", "off"]


@dataclass(frozen=True, slots=True)
class Reaction:
    """One emoji under a message: how many people, and whether the reader is one of them."""

    emoji: str
    count: int
    me: bool = False


@dataclass(frozen=True, slots=True)
class LogMessage:
    """A message. `time` is aware; `reply` is the sender and the beginning of what it answers.
    `dim`: a program's, of less weight than what people say. `mentions`: the names that are drawn as
    mentions where the text has them; `mention`: the reader's is among them.

    Texts and names come as they were received: the log makes them safe to show.
    """

    key: str
    sender: str
    text: str
    time: datetime
    own: bool = False
    state: MessageState = "sent"
    edited: bool = False
    pinned: bool = False
    deleted: bool = False
    mention: bool = False
    mentions: tuple[str, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    reply: tuple[str, str] | None = None
    error: str = ""
    dim: bool = False


@dataclass(frozen=True, slots=True)
class LogNotice:
    """A line that no person wrote. `time` is aware.

    In a notice with a `group`, that is what `who` did, in the past tense ("joined", "left"), as a
    message that is translated when it is shown; consecutive ones are in one line: "4 people
    joined".
    """

    key: str
    time: datetime
    text: str
    group: str | None = None
    who: str = ""


LogItem = LogMessage | LogNotice
