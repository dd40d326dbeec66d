"""What ``append.lua`` takes and returns: drafts become a command, and its replies entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from gochat.chat import conversations, extras
from gochat.chat.activity import PER_CONVERSATION
from gochat.chat.extras import extended
from gochat.chat.log import MAX_AHEAD, OF_MESSAGES, Draft, Logged
from gochat.chat.names import NameKey, known
from gochat.chat.pins import MAX_PINS
from gochat.chat.refusals import cid_conflict, room_exists, too_many_pins, unknown_message
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Message
from gochat.storage.common.log_time import ClockWarnings
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import GATE
from gochat.storage.redis.link.pipeline import RedisCommand
from gochat.storage.redis.link.url import Options
from gochat.storage.redis.link.wire import Arguments, Reply
from gochat.storage.redis.names import Names
from gochat.storage.redis.records import PackedDraft

#: Seconds for which a cid can't be used in another conversation. In its own conversation it is
#: known for ever: only that keeps a retry from being appended twice.
CLAIM_MEMORY: Final = 3600

#: The keys of a conversation that an entry changes, in the order of ``append.lua``.
_CHANGED: Final = (
    key_kinds.META,
    key_kinds.LOG,
    key_kinds.PARTICIPANTS,
    key_kinds.MEMBERS,
    key_kinds.MENTIONS,
    key_kinds.DELETED,
    key_kinds.REACTIONS,
    key_kinds.CHANGED,
    key_kinds.UNREAD,
    key_kinds.BANS,
    key_kinds.SLOWED,
    key_kinds.ACTIVITY,
    key_kinds.PINS,
)

#: Conversations whose keys are kept: some 2 KiB each.
MAX_CACHED: Final = 4096

_encode = msgspec.msgpack.Encoder().encode


class AppendScript:
    """Make commands that call the script, and decode its replies.

    The names of the people whom a draft is about have been looked up.
    """

    def __init__(
        self, keys: Keys, names: Names, options: Options, clock: Callable[[], int] | None
    ) -> None:
        self._keys = keys
        self._names = names
        self._options = options
        self._clock = clock
        self._clock_warnings = ClockWarnings()
        self._changed_by = lru_cache(MAX_CACHED)(lambda key: keys.conversation(key, *_CHANGED))

    def command(
        self, partition: int, epoch: str, drafts: Sequence[tuple[Draft, bool]]
    ) -> RedisCommand:
        """Return the command that appends drafts of one partition, if its epoch is still `epoch`.

        With each draft comes whether the claim on its cid is on the same server, and so the
        script's to make.
        """
        keys = [
            self._keys.states[partition],
            self._keys.feeds[partition],
            self._keys.common(partition, "rooms"),
            self._keys.common(partition, "convs"),
            self._keys.common(partition, "roles"),
            self._keys.common(partition, "mutes"),
        ]
        arguments: list[bytes | str] = []
        now = self._clock() if self._clock is not None else 0
        for draft, has_claim in drafts:
            said, digest = self._keys.by_cid(draft.conversation, draft.sender_key, draft.cid or "")
            keys += self._changed_by(draft.conversation)
            keys.append(said)
            if has_claim:
                keys.append(self._keys.claim(draft.sender_key, draft.cid or ""))
            arguments += [_encode(self._packed(draft, now, has_claim=has_claim)), digest]
        words: Arguments = (*keys, *arguments)
        return RedisCommand(partition, words, scripts.APPEND, len(keys), epoch)

    def _packed(self, draft: Draft, now: int, *, has_claim: bool) -> PackedDraft:
        people: tuple[str, ...] = ()
        if conversations.is_private(draft.conversation):
            people = tuple(
                part
                for person in conversations.participants(draft.conversation)
                for part in (person, self._names.person(person) or person)
            )
        options = self._options
        return PackedDraft(
            now=now,
            kind=draft.kind,
            conversation=draft.conversation,
            to=self.address(draft),
            sender=draft.sender_key,
            sender_name=self._names.person(draft.sender_key) or draft.sender,
            text=draft.text,
            ref=draft.ref or 0,
            cid=draft.cid or "",
            mentions=",".join(draft.mentions),
            extra=draft.extra,
            subject=draft.subject or "",
            subject_name=(self._names.person(draft.subject) or "") if draft.subject else "",
            claim_memory=CLAIM_MEMORY,
            feed_entries=options.feed_entries,
            keep=options.keep,
            people=people,
            max_ahead=MAX_AHEAD,
            max_gate=GATE,
            activity_kept=PER_CONVERSATION,
            max_pins=MAX_PINS,
            facts=draft.facts,
            has_claim=has_claim,
            seconds=extras.lifetime(draft.extra) if draft.kind == "ban" else 0,
            reason=extras.reason(draft.extra) if draft.kind == "ban" else "",
        )

    def address(self, draft: Draft) -> str:
        """Return the conversation's address as the sender of a draft sees it."""
        if not conversations.is_private(draft.conversation):
            return draft.to
        peer = conversations.peer(draft.conversation, draft.sender_key)
        return "@" + (self._names.person(peer) or peer)

    def appended(self, draft: Draft, reply: Reply) -> tuple[Logged, int]:
        """Decode the reply ``ok`` to a draft: its entry, and the position of that in the feed."""
        _, epoch, seq, ts, position, room, was_ahead, floor, *effects = reply
        if was_ahead:
            self._clock_warnings.note(was_ahead)
        has_mentions = draft.kind in ("text", "edit")
        entry = Message(
            to=room.decode() or self.address(draft),
            epoch=epoch.decode(),
            seq=seq,
            ts=ts,
            from_=self._names.person(draft.sender_key) or draft.sender,
            kind=draft.kind,
            text=draft.text,
            ref=draft.ref,
            cid=draft.cid,
            mentions=draft.mentions if has_mentions else (),
        )
        topic, uninvited, *author = effects or (b"", ())
        logged = Logged(
            draft.conversation,
            extended(entry, draft.extra),
            draft.subject,
            floor,
            topic.decode(),
            tuple(NameKey(key.decode()) for key in uninvited),
            known(author[0].decode()) if author else None,
        )
        return logged, position


def refusal(code: ErrorCode, draft: Draft) -> ChatError:
    """Return the error for a draft to which ``append.lua`` replies ``no`` and `code`."""
    match code:
        case ErrorCode.CID_CONFLICT:
            return cid_conflict()
        case ErrorCode.UNKNOWN_MESSAGE:
            return unknown_message(draft.ref, draft.to)
        case ErrorCode.TOO_MANY:
            return too_many_pins(draft.to)
        case ErrorCode.ROOM_EXISTS:
            return room_exists(draft.to)
        case _:
            assert code is ErrorCode.UNKNOWN_CONVERSATION
            is_of_message = draft.kind == "text" or draft.kind in OF_MESSAGES
            return conversations.unknown(draft.to, "to" if is_of_message else "room")
