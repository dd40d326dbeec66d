"""The commands that export a room, or what the server has about a person.

An export is JSON Lines: one object in each line, whose `type` says what it is; the guide has the
schema (``docs/how-to/export.md``). It is asked for a page at a time, so neither side needs memory
for more: `next` of a page is the `cursor` of the request for the page after it, and the command
line goes on until that is empty. A page is of the store's state at that moment. In a log the
entries are those of increasing seq, whatever is appended or removed meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from gochat.chat import conversations
from gochat.chat.account import Account
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.deletion import ABOUT_SOMEBODY
from gochat.chat.names import NameKey, known
from gochat.chat.reports import Report
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Message
from gochat.server.admin.accounts import require_account
from gochat.server.admin.arguments import ExportedAccount, ExportedRoom
from gochat.server.admin.call import Call, Handler
from gochat.storage.common.clock import wall_clock

T = TypeVar("T")

#: The version of the schema, which changes when what is there changes its meaning.
FORMAT: Final = 1
#: Entries in a page of a room: with the longest texts some megabytes.
PAGE: Final = 100
#: Entries that are read for a page of what one person wrote, more or less: some 20 ms.
LOOKED_AT: Final = 2000
#: Members, bans, sessions and the like that are read at once.
PIECE: Final = 200
#: Who reads an export: nobody, from whom nothing is hidden.
NOBODY: Final = NameKey("")


class Exported(Struct, frozen=True, kw_only=True):
    """A page of an export; `next` is empty on the last one."""

    records: tuple[dict[str, Any], ...]
    next: str


class _RoomPlace(Struct, frozen=True, array_like=True):
    """Where the export of a room goes on.

    With the members after `member`; or, if that is None, with the entries after `seq` of the
    history `epoch`, which is empty for the first ones.
    """

    member: str | None
    epoch: str = ""
    seq: int = 0


class _PersonPlace(Struct, frozen=True, array_like=True):
    """Where the export of a person's entries goes on.

    With the conversations after the cursor `done`; and of the conversation `key` with the entries
    after `after`.
    """

    done: str
    key: str
    after: int


async def export_room(call: Call, of: ExportedRoom) -> Exported:
    """Export a room: first what it is, then its log."""
    key = conversations.key(of.room, NOBODY, "room")
    store = call.services.store
    room = None if conversations.is_private(key) else await store.room(key, NOBODY)
    if room is None:
        raise ChatError(
            ErrorCode.UNKNOWN_CONVERSATION, f"there is no room {of.room[:64]!r}", field="room"
        )
    records: list[dict[str, Any]] = []
    place = _decoded(of.cursor, _RoomPlace)
    if place is None:
        await call.record(room.name)
        records.append(_header("room", room.name))
        records.append(
            {
                "type": "room",
                "room": room.name,
                "topic": room.topic,
                "private": room.private,
                "history": room.history,
                "members": room.members,
                "slow": room.modes.slow,
                "announcements": room.modes.announcements,
                "archived": room.modes.archived,
            }
        )
        bans = _all(
            lambda after: store.bans(key, after=after, limit=PIECE), lambda one: known(one.name)
        )
        records += [{"type": "ban", **msgspec.to_builtins(ban)} async for ban in bans]
        # Everybody is in the lobby.
        return _page(records, _RoomPlace(None if key == LOBBY_KEY else ""))
    if place.member is not None:
        members, _, has_more = await store.members(key, after=place.member, limit=PIECE)
        records += ({"type": "member", **msgspec.to_builtins(member)} for member in members)
        return _page(records, _RoomPlace(known(members[-1].name) if has_more else None))
    page = await store.page(key, viewer=NOBODY, after=place.seq, limit=PAGE)
    if place.epoch not in ("", page.epoch):
        raise ChatError(
            ErrorCode.BAD_CURSOR, "the store has another history now: start the export again"
        )
    records += map(_entry, page.entries)
    last = page.entries[-1].seq if page.entries else page.head
    return _page(records, _RoomPlace(None, page.epoch, last) if last < page.head else None)


async def export_person(call: Call, of: ExportedAccount) -> Exported:
    """Export what the server has about a person: first all but the entries, then these."""
    account = await require_account(call, of.name)
    place = _decoded(of.cursor, _PersonPlace)
    if place is None:
        await call.record(account.name)
        return _page([one async for one in _about(call, account)], _PersonPlace("", "", 0))
    records: list[dict[str, Any]] = []
    found, looked_at = await call.services.store.administration.conversations(after=place.done), 0
    for key, cursor in found:
        after = place.after if key == place.key else 0
        while True:
            if looked_at >= LOOKED_AT or len(records) >= PAGE:
                return _page(records, _PersonPlace(place.done, key, after))
            page = await call.services.store.page(key, viewer=NOBODY, after=after, limit=PAGE)
            looked_at += 1 + len(page.entries)
            records += (_entry(one) for one in page.entries if _concerns(one, key, account))
            if not page.entries or page.entries[-1].seq >= page.head:
                break
            after = page.entries[-1].seq
        place = _PersonPlace(cursor, "", 0)
    return _page(records, place if found else None)


async def _about(call: Call, account: Account) -> AsyncIterator[dict[str, Any]]:
    store, administration = call.services.store, call.services.store.administration
    yield _header("account", account.name)
    yield {
        "type": "account",
        "name": account.name,
        "created": account.created,
        "role": account.role,
        "bot": account.bot,
        "state": account.state,
    }
    for kind, restriction in (("ban", account.ban), ("mute", account.mute)):
        if restriction is not None:
            yield {"type": "restriction", "kind": kind, **msgspec.to_builtins(restriction)}
    if account.status is not None:
        yield {"type": "status", **msgspec.to_builtins(account.status)}
    for token in await store.tokens(account.key, wall_clock()):
        yield {
            "type": "session",
            "device": token.device,
            "address": token.address,
            "created": token.created,
            "seen": token.seen,
            "expires": token.expires,
            "scopes": token.scopes,
            "rooms": token.rooms,
        }
    for address, at in await administration.addresses(account.key):
        yield {"type": "address", "address": address, "at": at}
    addresses: dict[ConversationKey, str] = {}
    async for summary in _all(
        lambda after: store.summaries(account.key, after=after, limit=PIECE),
        lambda one: one.address,
    ):
        addresses[summary.key] = summary.address
        state = await store.conversation(account.key, summary.key)
        if state is not None:
            yield {"type": "conversation", **msgspec.to_builtins(state)}
    if seen := (await store.activity(account.key)).seen:
        yield {"type": "activity", "seen": seen}
    for ref in await store.saved(account.key):
        if (conv := addresses.get(ref.conversation)) is not None:
            yield {"type": "saved", "conv": conv, "seq": ref.seq, "ts": ref.ts}
    for invitation in await store.invitations(account.key):
        yield {"type": "invitation", **msgspec.to_builtins(invitation)}
    for name in await store.blocked(account.key):
        yield {"type": "block", "name": name}
    async for report in _reports(store):
        if report.reporter == account.key:
            yield {
                "type": "report",
                "id": report.id,
                "ts": report.ts,
                "conv": report.conv,
                "seqs": [message.seq for message in report.messages],
                "reason": report.reason,
                "resolved": report.handled is not None,
            }
    for one in await call.services.admission.all():
        if one.maker == account.key or account.key in one.used:
            yield {
                "type": "server_invitation",
                "made": one.maker == account.key,
                "used": account.key in one.used,
                "note": one.note if one.maker == account.key else "",
                "created": one.created,
                "expires": one.expires,
            }
    before: int | None = None
    while True:
        acts, has_more = await administration.audit(before=before, limit=PIECE)
        for act in acts:
            if act.subject == account.name:
                yield {"type": "act", **msgspec.to_builtins(act)}
        if not has_more:
            return
        before = acts[-1].id


async def _reports(store: Store) -> AsyncIterator[Report]:
    """Yield all reports. Those about a person are not theirs: they would show who made them."""
    after, has_more = 0, True
    while has_more:
        some, has_more = await store.reports.reports(after=after, limit=PIECE, resolved=True)
        for report in some:
            after = report.id
            yield report


def _concerns(entry: Message, key: ConversationKey, account: Account) -> bool:
    """Return whether a person wrote an entry, or it is about them: an invitation, a ban."""
    if known(entry.from_) == account.key:
        return True
    is_about = entry.kind in ABOUT_SOMEBODY
    return is_about and not conversations.is_private(key) and known(entry.text) == account.key


async def _all(
    read: Callable[[str], Awaitable[tuple[list[T], bool]]], place: Callable[[T], str]
) -> AsyncIterator[T]:
    """Yield everything that a store lists in pages."""
    after = ""
    while True:
        some, has_more = await read(after)
        for one in some:
            yield one
        if not has_more:
            return
        after = place(some[-1])


def _header(what: str, name: str) -> dict[str, Any]:
    return {"type": "export", "format": FORMAT, "of": what, "name": name, "at": wall_clock()}


def _entry(entry: Message) -> dict[str, Any]:
    return {"type": "entry", **msgspec.to_builtins(entry)}


def _page(records: list[dict[str, Any]], place: Struct | None) -> Exported:
    following = "" if place is None else msgspec.json.encode(place).decode()
    return Exported(records=tuple(records), next=following)


def _decoded(cursor: str, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(cursor, type=kind) if cursor else None
    except msgspec.MsgspecError as error:
        raise ChatError(ErrorCode.BAD_CURSOR, f"not a cursor of an export: {error}") from error


HANDLERS: Final[Mapping[str, Handler]] = {
    "export room": export_room,
    "export account": export_person,
}
