"""Check requests that change messages, and turn them into drafts for the log.

Each function raises :exc:`~gochat.errors.ChatError` if a rule forbids the request, and may raise
:exc:`~gochat.errors.StoreUnavailable`. None of them changes anything:
:meth:`gochat.chat.store.Store.append` does, with the draft.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Collection
from hashlib import sha256
from itertools import chain, count, islice
from typing import Final

from msgspec import structs

from gochat.chat import blocks, conversations, extras, names
from gochat.chat.accounts import Identity
from gochat.chat.conversations import ConversationKey
from gochat.chat.directory import Destination, Directory
from gochat.chat.emoji import MAX_EMOJI, normalise
from gochat.chat.facts import INSIDE, Facts
from gochat.chat.log import Draft
from gochat.chat.log_requests import LogRequest, content
from gochat.chat.muting import mute_refusal, saying_why
from gochat.chat.names import NameKey
from gochat.chat.operating import acting_on, operating
from gochat.chat.refusals import check_length, not_inside, operators_only, unknown_message
from gochat.chat.server_roles import ServerRole
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import (
    Delete,
    Edit,
    EntryKind,
    Message,
    Pin,
    React,
    Send,
)
from gochat.protocol.text import EVERYBODY, EVERYBODY_NAMES, mentions

#: In characters. A message of this length fits a frame even if every character is escaped twice.
MAX_TEXT: Final = 4000
#: Different emoji on one message: with ten names each they fit a frame beside the longest text.
MAX_REACTIONS: Final = 20
#: Different emoji of one person on one message: it takes several people to use up the limit.
MAX_OWN_REACTIONS: Final = 5
#: People whom one message can mention: a message that names more means the whole room.
MAX_MENTIONS: Final = 10
#: Possible mentions that are looked up for one message: bounds the cost of a message full of @.
_MAX_CANDIDATES: Final = 5 * MAX_MENTIONS

#: As names: nobody can register one of them, by default.
EVERYBODY_KEYS: Final = frozenset(map(NameKey, EVERYBODY_NAMES))

_IS_INSIDE: Final = Facts(sender=INSIDE)
_IS_OPEN: Final = Facts(is_open=True)
_IS_OPEN_INSIDE: Final = Facts(sender=INSIDE, is_open=True)

#: Makes a `cid` that no process has made before: 72 random bits, and a number.
_PROCESS: Final = secrets.token_urlsafe(9)
_made: Final = count()


class Drafts:
    """Makes drafts.

    `rooms`, where it is a parameter, are the rooms that the person is in according to this node,
    which may be behind the store. The append compares that. All other rooms are looked up in the
    store. With None, everything is: what the append compared, and found otherwise, is then refused.
    """

    def __init__(self, store: Store, directory: Directory, max_text: int = MAX_TEXT) -> None:
        self._store = store
        self._directory = directory
        #: Characters of a message at most.
        self.max_text = max_text

    async def address(
        self, who: Identity, rooms: Collection[ConversationKey] | None, to: str, field: str = "to"
    ) -> Destination:
        """Return the conversation that `to`, from the request's `field`, means for this person.

        That they may read it holds only as far as this node knows; a page read from the store says
        whether it is true.

        Raises:
            ChatError: ``unknown_person``, ``unknown_conversation`` or ``not_a_member``.
        """
        address = await self._directory.destination(who.key, to, field)
        if address.is_joined and (rooms is None or address.key not in rooms):
            room = await self._store.room(address.key, who.key)
            if room is None or room.is_hidden:
                raise conversations.unknown(to, field)
            if not room.is_inside:
                raise not_inside(address.shown, field)
        return address

    async def send(
        self, who: Identity, rooms: Collection[ConversationKey] | None, request: Send
    ) -> Draft:
        """Draft a message, which may reply to another one."""
        self._check_text(request.text)
        address = await self.address(who, rooms, request.to)
        if request.reply_to is not None:
            await self._said(who, address, request.reply_to, "reply_to")
        facts = await self._open(who, rooms, address, "text")
        facts, mentioned = await self._mentions(who, address, request.text, facts)
        return make_draft(
            who,
            address,
            "text",
            facts,
            text=request.text,
            ref=request.reply_to,
            mentioned=mentioned,
            cid=request.cid,
            extra=extras.of_message(request.form, request.meta),
        )

    async def edit(
        self, who: Identity, rooms: Collection[ConversationKey] | None, request: Edit
    ) -> Draft:
        """Draft a new text for one's own message."""
        self._check_text(request.text)
        address = await self.address(who, rooms, request.to)
        said = await self._said(who, address, request.seq)
        if names.known(said.from_) != who.key:
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                "only its author can edit a message",
                field="seq",
                details={"rule": "author"},
            )
        facts = await self._open(who, rooms, address, "edit")
        facts, mentioned = await self._mentions(who, address, request.text, facts)
        return draft_of(request, who, address, facts, mentioned=mentioned)

    async def delete(
        self, who: Identity, rooms: Collection[ConversationKey] | None, request: Delete
    ) -> Draft:
        """Draft the deletion of one's own message, or as an operator of any message in the room."""
        address = await self.address(who, rooms, request.to)
        said = await self._said(who, address, request.seq)
        facts = _inside(address)
        if names.known(said.from_) != who.key:
            room = await self._store.room(address.key, who.key)
            acts = None if room is None else await operating(self._store, who, room)
            if room is None or acts is None:
                raise ChatError(
                    ErrorCode.NOT_PERMITTED,
                    "only its author or an operator can delete a message",
                    field="seq",
                    details={"rule": "author_or_operator"},
                )
            facts = await acting_on(self._store, who, room, acts, names.known(said.from_))
        if request.reason and address.peer is None:
            room = await self._store.room(address.key, who.key)
            if room is not None:
                facts = await saying_why(self._store, who, room, facts, request.reason)
        return draft_of(request, who, address, facts)

    async def react(
        self, who: Identity, rooms: Collection[ConversationKey] | None, request: React
    ) -> Draft:
        """Draft a reaction to a message, or its removal."""
        emoji = normalise(request.emoji)
        if emoji is None and (request.on or len(request.emoji) > MAX_EMOJI):
            raise _not_an_emoji()
        address = await self.address(who, rooms, request.to)
        said = await self._said(who, address, request.seq)
        # Use the existing spelling, which may be older than the normalised one.
        there = [reaction.emoji for reaction in said.reactions]
        if request.emoji in there:
            emoji = request.emoji
        elif emoji is None:
            raise _not_an_emoji()
        elif emoji not in there:
            emoji = next((spelling for spelling in there if normalise(spelling) == emoji), emoji)
        facts = await self._open(who, rooms, address, "react")
        if request.on:
            if len({*(r.emoji for r in said.reactions), emoji}) > MAX_REACTIONS:
                raise ChatError(
                    ErrorCode.TOO_MANY,
                    f"a message takes at most {MAX_REACTIONS} different emoji",
                    field="emoji",
                    details={"rule": "emoji", "max": MAX_REACTIONS},
                )
            own = await self._own_reactions(who, address, request.seq)
            if len({*own, emoji}) > MAX_OWN_REACTIONS:
                raise ChatError(
                    ErrorCode.TOO_MANY,
                    f"you can give a message at most {MAX_OWN_REACTIONS} different emoji: "
                    "take one back first",
                    field="emoji",
                    details={"rule": "own_emoji", "max": MAX_OWN_REACTIONS},
                )
            facts = structs.replace(
                facts or Facts(), other_emoji=MAX_REACTIONS - 1, own_emoji=MAX_OWN_REACTIONS - 1
            )
        return draft_of(request, who, address, facts, text=emoji)

    async def pin(
        self, who: Identity, rooms: Collection[ConversationKey] | None, request: Pin
    ) -> Draft:
        """Draft that a message is pinned for everybody, or no longer.

        In a room that takes an operator, or who acts as one; in the lobby, who moderates it.
        """
        address = await self.address(who, rooms, request.to)
        await self._said(who, address, request.seq)
        if address.peer is not None:
            return draft_of(request, who, address, await self._open(who, rooms, address, "pin"))
        kind, _, _ = content(request)
        room = await self._store.room(address.key, who.key)
        acts = None if room is None else await operating(self._store, who, room)
        if room is None or acts is None:
            raise operators_only("pin messages", "to")
        refused = room.refusal(kind, "to", is_operator=True) or (
            await mute_refusal(self._store, who, room, kind, "to")
        )
        if refused is not None:
            raise refused
        return draft_of(request, who, address, structs.replace(acts, is_open=True))

    async def _open(
        self,
        who: Identity,
        rooms: Collection[ConversationKey] | None,
        address: Destination,
        kind: EntryKind,
    ) -> Facts | None:
        """Return the facts that writing an entry of a kind to an address depends on.

        Raises:
            ChatError: ``unknown_person``: the other person's account was deleted.
        """
        if address.peer is not None and address.peer in self._directory.gone:
            raise conversations.nobody(address.shown[1:])
        role = None
        if rooms is None:
            role = await self.require_open(who, address, kind)
        facts = _IS_OPEN_INSIDE if address.is_joined else _IS_OPEN
        return facts if role is None else structs.replace(facts, server_role=role)

    async def require_open(
        self, who: Identity, address: Destination, kind: EntryKind
    ) -> ServerRole | None:
        """Require that a person can write an entry of a kind to an address now.

        Return their role at the server if they can for that only.

        Raises:
            ChatError: ``blocked``, ``not_permitted``, ``slow_mode`` or ``muted``.
        """
        role: ServerRole | None = None
        if address.peer is not None:
            blockers = await self._store.blockers(who.key, address.peer)
            refused = blocks.refusal(blockers, who, address.peer, address.shown[1:], "to")
        else:
            room = await self._store.room(address.key, who.key)
            refused = room.refusal(kind, "to") if room is not None else None
            if room is not None and refused is not None:
                acts = await operating(self._store, who, room)
                if acts is not None and room.refusal(kind, "to", is_operator=True) is None:
                    role, refused = acts.server_role, None
            if room is not None and refused is None:
                refused = await mute_refusal(self._store, who, room, kind, "to")
        if refused is not None:
            raise refused
        return role

    def _check_text(self, text: str) -> None:
        if not text or text.isspace():
            raise ChatError(ErrorCode.TEXT_EMPTY, "the message is empty", field="text")
        check_length(text, self.max_text, "a message", "text")

    async def _said(
        self, who: Identity, address: Destination, seq: int, field: str = "seq"
    ) -> Message:
        message = await self._store.message(address.key, seq, viewer=who.key)
        if message is None or message.deleted:
            raise unknown_message(seq, address.shown, field)
        return message

    async def _own_reactions(self, who: Identity, address: Destination, seq: int) -> list[str]:
        page = await self._store.page(address.key, viewer=who.key, after=seq - 1, limit=1)
        return [
            reaction.emoji for entry in page.entries for reaction in entry.reactions if reaction.me
        ]

    async def _mentions(
        self, who: Identity, address: Destination, text: str, facts: Facts | None
    ) -> tuple[Facts | None, dict[NameKey, str]]:
        """Return whom a text mentions, and the facts that it depends on besides `facts`."""
        if address.peer is not None:
            return facts, {}
        found, names_everybody = await self._mentioned(text)
        if names_everybody:
            room = await self._store.room(address.key, who.key)
            acts = None if room is None else await operating(self._store, who, room)
            if acts is not None:
                # No key: nobody is looked up for it, and each person counts the message once.
                found = {NameKey(EVERYBODY): EVERYBODY, **found}
                facts = structs.replace(acts, is_open=facts is not None and facts.is_open)
        return facts, found

    async def _mentioned(self, text: str) -> tuple[dict[NameKey, str], bool]:
        """Return the people whom a text names, and whether it names everybody."""
        written = list(islice(mentions(text), _MAX_CANDIDATES))
        if not written:
            return {}, False
        candidates = [
            [who for name in mention.names if (who := names.possible_key(name))]
            for mention in written
        ]
        keys = dict.fromkeys(chain.from_iterable(candidates)).keys()
        found = await self._directory.people(keys - self._directory.gone) if keys else {}
        mentioned = {
            first: found[first]
            for people in candidates
            if (first := next((who for who in people if who in found), None))
        }
        everybody = any(
            mention.has_sign and not EVERYBODY_KEYS.isdisjoint(people)
            for mention, people in zip(written, candidates, strict=True)
        )
        return dict(islice(mentioned.items(), MAX_MENTIONS)), everybody


def _not_an_emoji() -> ChatError:
    return ChatError(
        ErrorCode.BAD_REQUEST,
        "invalid reaction: expected one emoji",
        field="emoji",
        details={"rule": "emoji"},
    )


def _inside(address: Destination) -> Facts | None:
    """Return the facts that writing to an address depends on.

    They are that the sender is in the room, if it is a room that people join.
    """
    return _IS_INSIDE if address.is_joined else None


def new_cid() -> str:
    """Return a `cid` for a request whose client gives none."""
    return f"~{_PROCESS}{next(_made):x}"


def derived_cid(cid: str | None, part: str) -> str:
    """Return the `cid` of a further entry that a request with this `cid` appends.

    It is the same at each try, so this entry, too, is appended only once.
    """
    if cid is None:
        return new_cid()
    return "~" + urlsafe_b64encode(sha256(f"{part} {cid}".encode()).digest()[:18]).decode()


def draft_of(
    request: LogRequest,
    who: Identity,
    to: Destination,
    facts: Facts | None,
    *,
    text: str | None = None,
    subject: NameKey | None = None,
    mentioned: dict[NameKey, str] | None = None,
) -> Draft:
    """Return the draft of the entry that a request asks for.

    `text` is the displayed spelling of the name or emoji in the request.

    Raises:
        ChatError: its metadata or its reason is invalid.
    """
    kind, typed, ref = content(request)
    return make_draft(
        who,
        to,
        kind,
        facts,
        text=typed if text is None else text,
        ref=ref,
        subject=subject,
        mentioned=mentioned,
        cid=request.cid,
        extra=extras.of(request),
    )


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
    extra: str = "",
) -> Draft:
    """Return a draft of an entry of a conversation. Without `cid` it gets a new one."""
    shown: tuple[str, ...] = ()
    keys: tuple[NameKey, ...] = ()
    if mentioned:
        shown, keys = tuple(mentioned.values()), tuple(mentioned)
        if EVERYBODY in shown:
            keys = ()
    return Draft(
        conversation=to.key,
        to=to.shown,
        sender_key=who.key,
        sender=who.name,
        kind=kind,
        text=text,
        ref=ref,
        cid=cid or new_cid(),
        mentions=shown,
        mentioned=keys,
        subject=subject,
        facts=facts,
        extra=extra,
    )
