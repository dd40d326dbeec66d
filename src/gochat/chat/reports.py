"""Reports: somebody shows moderators messages that they can read themselves.

Nobody reads private conversations or rooms that they are not in, moderators neither. So a report
carries copies of the messages, as they read when it was made: who edits or deletes one later
changes nothing about that. One that was deleted before can't be reported: its text is gone.

Moderators and admins handle reports about people of a lower role than their own, and see only
those; never one about themselves. Who it is about is whoever wrote one of the messages, besides the
person who reports them. Roles are those of the moment, and are compared when a report is resolved.

Resolved ones are kept for :data:`KEPT`, open ones for :data:`KEPT_OPEN`, and at most
:data:`MAX_REPORTS` in all; the oldest of those that are resolved make room.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gochat.chat.names import NameKey
from gochat.chat.server_roles import RANKS, Actor, ActorRole, ServerRole
from gochat.errors import ChatError, ErrorCode

#: Reports that a store keeps. The texts of one are together not longer than one message may be.
MAX_REPORTS: Final = 1000
#: Messages in one report.
MAX_MESSAGES: Final = 10
#: Milliseconds.
_DAY: Final = 24 * 3600 * 1000
#: For how long a report is kept after it was resolved; and one that never is.
KEPT: Final = 90 * _DAY
KEPT_OPEN: Final = 365 * _DAY


class CopiedMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it read when it was reported; `edited`: its text was not the first one."""

    seq: int
    sender: NameKey
    name: str
    ts: int
    text: str
    edited: bool = False


class Handling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who has resolved a report, with which role, when, and what they noted."""

    by: str
    role: ActorRole
    ts: int
    note: str = ""


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A report of `reporter`, displayed as `name`; both are empty once that account was deleted.

    `id` counts them, from 1. `conv` is the conversation as the reporter sees it.
    """

    id: int = 0
    ts: int
    reporter: NameKey
    name: str
    conv: str
    messages: tuple[CopiedMessage, ...]
    reason: str = ""
    handled: Handling | None = None

    @property
    def about(self) -> tuple[NameKey, ...]:
        """The people whom it is about, in the order of their messages."""
        senders = dict.fromkeys(message.sender for message in self.messages)
        return tuple(sender for sender in senders if sender != self.reporter)

    @property
    def names(self) -> tuple[str, ...]:
        """The displayed names of the people whom it is about."""
        names = {message.sender: message.name for message in self.messages}
        return tuple(names[sender] for sender in self.about)

    @property
    def digest(self) -> bytes:
        """What is the same for a report of the same messages by the same person."""
        seqs = [str(message.seq) for message in self.messages]
        parts = "\0".join((self.reporter, self.conv, *seqs))
        return blake2b(parts.encode(), digest_size=16).digest()

    def is_over(self, now: int) -> bool:
        """Return whether it is no longer kept at `now`."""
        if self.handled is not None:
            return self.handled.ts <= now - KEPT
        return self.ts <= now - KEPT_OPEN


class ReportStore(Protocol):
    """What a store does for this: see :class:`gochat.chat.store.Store` for what applies to all."""

    async def add(self, report: Report) -> tuple[int, bool]:
        """Add a report, whose `id` is ignored; return its id, and whether it is new.

        It is not if the same person has an open one of the same messages: of concurrent ones one is
        added. Where there are :data:`MAX_REPORTS`, the one that was resolved first makes room.

        Raises:
            ChatError: ``too_many``: all of them are open.
        """
        ...

    async def report(self, id_: int) -> Report | None:
        """Return a report, or None."""
        ...

    async def reports(
        self, *, after: int, limit: int, resolved: bool = False
    ) -> tuple[list[Report], bool]:
        """Return a page of the open reports, or of all, by id, and whether there are more."""
        ...

    async def change(
        self,
        before: Report,
        after: Report | None,
        roles: Collection[tuple[NameKey, ServerRole]] = (),
    ) -> bool:
        """Replace a report, or with None remove it; return whether it was done.

        Only if it is still `before`, and these people still have these roles: of concurrent changes
        one succeeds.
        """
        ...


def may_handle(
    actor: Actor, key: NameKey | None, report: Report, roles: Mapping[NameKey, ServerRole]
) -> bool:
    """Return whether somebody may see and resolve a report.

    `key` is their account, None for the owner. `roles` are those of all who are not members.
    """
    about = report.about
    return (
        RANKS[actor.role] >= RANKS["moderator"]
        and key not in about
        and all(RANKS[actor.role] > RANKS[roles.get(person, "member")] for person in about)
    )


def without(report: Report, people: Collection[NameKey]) -> Report | None:
    """Return a report without what some people, whose accounts were deleted, wrote and said.

    None if it is about nobody then.
    """
    messages = tuple(one for one in report.messages if one.sender not in people)
    if report.reporter in people:
        report = replace(report, reporter=NameKey(""), name="", reason="")
    report = replace(report, messages=messages)
    return report if report.about else None


async def forget(store: ReportStore, people: Collection[NameKey], now: int) -> list[Report]:
    """Remove reports that are no longer kept, and of the others what deleted accounts wrote.

    Return those that were removed, as they were.
    """
    removed: list[Report] = []
    after, more = 0, True
    while more:
        page, more = await store.reports(after=after, limit=50, resolved=True)
        for report in page:
            after = report.id
            kept = None if report.is_over(now) else without(report, people)
            if kept != report and await store.change(report, kept) and kept is None:
                removed.append(report)
    return removed


def copies_cost(messages: Sequence[CopiedMessage]) -> int:
    """Return the length of the texts that a report carries, in characters."""
    return sum(len(message.text) for message in messages)


def no_report(id_: int) -> ChatError:
    """Return the error for a report that there is not, or not for this person, or not any more."""
    return ChatError(
        ErrorCode.BAD_REQUEST,
        f"there is no open report {id_}: somebody else may have resolved it",
        field="id",
        details={"rule": "report"},
    )


def too_many() -> ChatError:
    """Return the error for a report that is one more than a store keeps."""
    return ChatError(
        ErrorCode.TOO_MANY,
        f"{MAX_REPORTS:,} reports wait to be handled, and there can't be more: "
        "ask who runs the server",
        details={"rule": "reports", "max": MAX_REPORTS},
    )


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Report)


def encode(report: Report) -> str:
    """Return a report as stores keep it, without its id."""
    return _encoder.encode(replace(report, id=0)).decode()


def decode(id_: int, kept: str | bytes) -> Report:
    """Return what is kept. Raises msgspec.DecodeError."""
    return replace(_decoder.decode(kept), id=id_)
