"""What somebody asks to say, checked and turned into a draft for the log.

Each function raises :exc:`~gochat.errors.ChatError` where a rule says no, and may raise
:exc:`~gochat.errors.StoreUnavailable`. None of them changes anything: that is done by
:meth:`gochat.chat.store.Store.append` with the draft.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterator
from hashlib import sha256
from itertools import islice
from typing import Final

from msgspec import structs

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.directory import Directory
from gochat.chat.emoji import MAX_EMOJI, normalise
from gochat.chat.facts import INSIDE, Facts
from gochat.chat.names import NameKey
from gochat.chat.store import Draft, RoomState, Store
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Delete, Edit, EntryKind, Message, React, Send

#: In characters; with every one of them escaped twice a message still fits a frame.
MAX_TEXT: Final = 4000
#: Different emoji on one message: with ten names each they fit a frame beside the longest text.
MAX_REACTIONS: Final = 20
#: Of these from one person: several are needed to use them up.
MAX_OWN_REACTIONS: Final = 8
#: People whom one message can name: one that names more means the whole room.
MAX_MENTIONS: Final = 10
#: What may be names, and is looked up together: so that a message full of @ costs no more.
_MAX_CANDIDATES: Final = 5 * MAX_MENTIONS

_IS_INSIDE: Final = Facts(sender=INSIDE)

#: Not inside an e-mail address; but what is written without spaces may stand before it.
_MENTION: Final = re.compile(r"(?<![0-9A-Za-z_@])@(?=\w)")


class Destination:
    """A conversation that somebody may write to: its key, and its address as it is shown."""

    __slots__ = ("key", "shown")

    def __init__(self, key: ConversationKey, shown: str) -> None:
        self.key: Final = key
        self.shown: Final = shown

    @classmethod
    def of(cls, room: RoomState) -> Destination:
        """Return a room as what is written to."""
        return cls(room.key, room.name)


class Drafts:
    """Makes drafts.

    `rooms`, where asked for, are rooms that the person is thought to be in: a node's memory, which
    the store is ahead of. It is compared as a draft is appended. Of all others the store is asked.
    """

    def __init__(self, store: Store, directory: Directory, max_text: int = MAX_TEXT) -> None:
        self._store = store
        self._directory = directory
        self._max_text = max_text

    async def address(
        self, who: Identity, rooms: Collection[ConversationKey], to: str, field: str = "to"
    ) -> Destination:
        """Return what `to`, which came in the request's `field`, means to this person.

        That they may read it is only thought so: what is read says whether it was so.

        Raises:
            ChatError: ``unknown_person``, ``unknown_conversation`` or ``not_a_member``.
        """
        key = conversations.key(to, who.key, field)
        if conversations.is_private(key):
            peer = conversations.peer(key, who.key)
            shown = (await self._directory.people((peer,))).get(peer)
            if shown is None:
                raise conversations.nobody(to[1:], field)
            return Destination(key, "@" + shown)
        name = await self._directory.room(key, who.key)
        if name is None:
            raise conversations.unknown(to, field)
        if key != LOBBY_KEY and key not in rooms:
            room = await self._store.room(key, who.key)
            if room is None or room.is_hidden:
                raise conversations.unknown(to, field)
            if not room.is_inside:
                raise not_inside(name, field)
        return Destination(key, name)

    async def send(self, who: Identity, rooms: Collection[ConversationKey], request: Send) -> Draft:
        """A message, perhaps in reply to another one."""
        self._check_text(request.text)
        address = await self.address(who, rooms, request.to)
        if request.reply_to is not None:
            await self._said(who, address, request.reply_to)
        mentioned = await self._mentioned(address.key, request.text)
        return make_draft(
            who,
            address,
            "text",
            _inside(address),
            text=request.text,
            ref=request.reply_to,
            cid=request.cid,
            mentioned=mentioned,
        )

    async def edit(self, who: Identity, rooms: Collection[ConversationKey], request: Edit) -> Draft:
        """A new text for one's own message."""
        self._check_text(request.text)
        address = await self.address(who, rooms, request.to)
        said = await self._said(who, address, request.seq)
        if names.known(said.from_) != who.key:
            raise ChatError(
                ErrorCode.NOT_PERMITTED, "only its author can edit a message", field="seq"
            )
        mentioned = await self._mentioned(address.key, request.text)
        return make_draft(
            who,
            address,
            "edit",
            _inside(address),
            text=request.text,
            ref=request.seq,
            cid=request.cid,
            mentioned=mentioned,
        )

    async def delete(
        self, who: Identity, rooms: Collection[ConversationKey], request: Delete
    ) -> Draft:
        """Take back one's own message, or as an operator anybody's in the room."""
        address = await self.address(who, rooms, request.to)
        said = await self._said(who, address, request.seq)
        facts = _inside(address)
        if names.known(said.from_) != who.key:
            room = await self._store.room(address.key, who.key)
            if room is None or room.role != "operator":
                raise ChatError(
                    ErrorCode.NOT_PERMITTED,
                    "only its author or an operator can delete a message",
                    field="seq",
                )
            facts = Facts(sender=("operator",))
        return make_draft(who, address, "delete", facts, ref=request.seq, cid=request.cid)

    async def react(
        self, who: Identity, rooms: Collection[ConversationKey], request: React
    ) -> Draft:
        """A reaction to a message, or taking it back."""
        emoji = normalise(request.emoji)
        if emoji is None and (request.on or len(request.emoji) > MAX_EMOJI):
            raise _not_an_emoji()
        address = await self.address(who, rooms, request.to)
        said = await self._said(who, address, request.seq)
        # In the spelling that is there, which may be from before there was one for each.
        there = [one.emoji for one in said.reactions]
        if request.emoji in there:
            emoji = request.emoji
        elif emoji is None:
            raise _not_an_emoji()
        elif emoji not in there:
            emoji = next((one for one in there if normalise(one) == emoji), emoji)
        facts = _inside(address)
        if request.on:
            if len({*(r.emoji for r in said.reactions), emoji}) > MAX_REACTIONS:
                raise ChatError(
                    ErrorCode.NOT_PERMITTED,
                    f"a message takes at most {MAX_REACTIONS} different emoji",
                    field="emoji",
                )
            own = await self._own_reactions(who, address, request.seq)
            if len({*own, emoji}) > MAX_OWN_REACTIONS:
                raise ChatError(
                    ErrorCode.NOT_PERMITTED,
                    f"you can give a message at most {MAX_OWN_REACTIONS} different emoji: "
                    "take one back first",
                    field="emoji",
                )
            facts = structs.replace(
                facts or Facts(), other_emoji=MAX_REACTIONS - 1, own_emoji=MAX_OWN_REACTIONS - 1
            )
        kind: EntryKind = "react" if request.on else "unreact"
        return make_draft(who, address, kind, facts, text=emoji, ref=request.seq, cid=request.cid)

    def _check_text(self, text: str) -> None:
        if not text or text.isspace():
            raise ChatError(ErrorCode.TEXT_EMPTY, "the message is empty", field="text")
        if len(text) > self._max_text:
            raise ChatError(
                ErrorCode.TEXT_TOO_LONG,
                f"a message has at most {self._max_text} characters, this one has {len(text)}",
                field="text",
            )

    async def _said(self, who: Identity, address: Destination, seq: int) -> Message:
        message = await self._store.message(address.key, seq, viewer=who.key)
        if message is None or message.deleted:
            raise ChatError(
                ErrorCode.UNKNOWN_MESSAGE,
                f"there is no message {seq} in {address.shown}",
                field="seq",
            )
        return message

    async def _own_reactions(self, who: Identity, address: Destination, seq: int) -> list[str]:
        page = await self._store.page(address.key, viewer=who.key, after=seq - 1, limit=1)
        return [one.emoji for entry in page.entries for one in entry.reactions if one.me]

    async def _mentioned(self, key: ConversationKey, text: str) -> dict[NameKey, str]:
        if "@" not in text or conversations.is_private(key):
            return {}
        candidates = islice(_after_at_signs(text), _MAX_CANDIDATES)
        keys = dict.fromkeys(filter(None, map(names.possible_key, candidates)))
        found = await self._directory.people(keys) if keys else {}
        return dict(islice(found.items(), MAX_MENTIONS))


def _after_at_signs(text: str) -> Iterator[str]:
    """What may be a name, after each @ that is not inside a word."""
    for match in _MENTION.finditer(text):
        start = end = match.end()
        # Not \w+: that ends at the marks which vowels are in many writings.
        while end < len(text) and end - start <= names.MAX_TYPED and _is_of_name(text[end]):
            end += 1
        yield text[start:end].rstrip("-_.")


def _is_of_name(char: str) -> bool:
    return char.isalnum() or char in "-_." or unicodedata.category(char)[0] in "LMN"


def _not_an_emoji() -> ChatError:
    return ChatError(ErrorCode.BAD_REQUEST, "invalid reaction: expected one emoji", field="emoji")


def not_inside(room: str, field: str) -> ChatError:
    """The refusal of what only those in a room may do."""
    return ChatError(ErrorCode.NOT_A_MEMBER, f"you are not in {room}: join it first", field=field)


def _inside(address: Destination) -> Facts | None:
    """What somebody who writes to an address was found to be: in the room, if it is one that people
    join."""
    is_joined = address.key != LOBBY_KEY and not conversations.is_private(address.key)
    return _IS_INSIDE if is_joined else None


def new_cid() -> str:
    """A client id for what comes from a client that gives none."""
    return "~" + secrets.token_urlsafe(9)


def derived_cid(cid: str | None, part: str) -> str:
    """The client id of a further entry that a request with this `cid` appends: the same at each
    try, so that it, too, is appended once."""
    if cid is None:
        return new_cid()
    return "~" + urlsafe_b64encode(sha256(f"{part} {cid}".encode()).digest()[:18]).decode()


def make_draft(
    who: Identity,
    to: Destination,
    kind: EntryKind,
    facts: Facts | None,
    *,
    text: str = "",
    ref: int | None = None,
    subject: NameKey | None = None,
    mentioned: dict[NameKey, str] | None = None,
    cid: str | None = None,
) -> Draft:
    """Return a draft of what somebody says to a conversation; without a `cid` it gets one."""
    mentioned = mentioned or {}
    return Draft(
        conversation=to.key,
        to=to.shown,
        sender_key=who.key,
        sender=who.name,
        kind=kind,
        text=text,
        ref=ref,
        cid=cid or new_cid(),
        mentions=tuple(mentioned.values()),
        mentioned=tuple(mentioned),
        subject=subject,
        facts=facts,
    )
