"""Check a store in Redis, while servers use it.

Everything is read once, in pieces, and compared as far as that is cheap. What a script reads is of
one moment; everything else may change between two commands. So what looks wrong is examined again,
:data:`LOOKS` times in all with :data:`PAUSE` seconds in between, and is only reported if it looks
wrong each time.

Nothing is written. The texts of messages are not repeated in a finding; names and keys are.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from gochat.chat import names
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.skeletons import skeletons
from gochat.errors import StoreCorrupt
from gochat.storage.common.clock import wall_clock
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import CLAIMED, CLAIMS
from gochat.storage.redis.link.wire import Arguments, Refused, Reply
from gochat.storage.redis.people import ACCOUNT_FIELDS, decode_account
from gochat.storage.redis.records import (
    NEW_EPOCH,
    decode_feed_entry,
    decode_row,
)
from gochat.storage.redis.saved import decode_saved
from gochat.storage.redis.tokens import decode_token
from gochat.storage.transfer.contents import MANY
from gochat.storage.transfer.redis_check_conversation import (
    ELEMENTS,
    MAX_FINDINGS,
    UNDECODABLE,
    ExaminedConversation,
    Found,
)
from gochat.storage.transfer.redis_online import OnlineRedis, open_online
from gochat.storage.transfer.redis_source import pairs

#: How often what looks wrong is examined, and the seconds in between.
LOOKS: Final = 3
PAUSE: Final = 0.2
#: Accounts that are known to exist, kept so as not to look them up again. Some ten megabytes.
MAX_KNOWN: Final = 50_000

CHECKING: Final = "checking"

T = TypeVar("T", bound=str)


class Report(Struct, frozen=True):
    """What a check has found: damage, what is odd and harmless, and what else there is to know."""

    findings: list[str]
    remarks: list[str]
    states: list[str]


def check(
    url: str,
    *,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    clock: Callable[[], int] = wall_clock,
) -> Report:
    """Check the data in a Redis. Change nothing.

    `progress` is called with a word, the numbers of entries and people that were read, and of all
    that there were at the beginning.

    Raises:
        ConfigError: there is no data; or the user lacks a permission.
        StoreUnavailable: Redis can't be reached, or its data has got another history meanwhile; or
            it is an unfinished copy.
        StoreCorrupt: the data is a newer gochat's.
    """
    with open_online(url, "a check") as source:
        check = _Check(source, progress, clock())
        check.run()
    return Report(check.findings, check.remarks, check.states)


class _Check:
    """A check that goes on."""

    def __init__(
        self, source: OnlineRedis, progress: Callable[[str, int, int], None], now: int
    ) -> None:
        self._source = source
        self._redis = source.redis
        self._keys = source.keys
        self._now = now
        self._counts: Counter[str] = Counter()
        self.findings: list[str] = []
        self.remarks: list[str] = []
        self.states: list[str] = []
        self._known: set[NameKey] = set()
        self._are_claimed = False
        self._progress = progress
        self._done = 0
        self._total = 0

    def run(self) -> None:
        """Check everything."""
        partitions = [str(partition) for partition in range(self._keys.partitions)]
        self._confirm(partitions, lambda some: {one: self._types(int(one)) for one in some})
        if self.findings:
            return  # what lists all others can't be read
        histories, nodes = self._source.histories(), self._redis.live_nodes()
        self.states.append(
            f"{self._keys.partitions} partitions; "
            f"{nodes} gochat {'server uses' if nodes == 1 else 'servers use'} it"
        )
        self._confirm([""], lambda _: {"": self._server()})
        self._confirm(partitions, lambda some: {one: self._partition(int(one)) for one in some})
        self._total = sum(self._source.sizes())
        for keys in self._source.all_listed():
            self._confirm(keys, self._conversations)
        for partition in range(self._keys.partitions):
            for people in self._listed_people(partition):
                self._confirm(people, self._people)
                self._advance(len(people))
        for found in self._redis.scan("*"):
            self._confirm([key.decode(errors="replace") for key in found], self._scanned)
        self._source.require_same(histories)

    def _confirm(
        self, items: Sequence[T], examine: Callable[[Sequence[T]], dict[T, Found]]
    ) -> None:
        """Examine items, and those that look wrong again; report what looks wrong each time."""
        found = {item: wrong for item, wrong in examine(items).items() if wrong}
        for _ in range(LOOKS - 1):
            if not found:
                return
            time.sleep(PAUSE)
            again = examine(list(found))
            found = {
                item: {kind: text for kind, text in again[item].items() if kind in wrong}
                for item, wrong in found.items()
            }
            found = {item: wrong for item, wrong in found.items() if wrong}
        for wrong in found.values():
            for kind, text in wrong.items():
                self._report(self.findings, kind.partition(" ")[0], text)

    def _report(self, where: list[str], kind: str, text: str) -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_FINDINGS and text not in where:
            where.append(text)

    def _remark(self, kind: str, text: str) -> None:
        self._report(self.remarks, kind, text)

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(CHECKING, min(self._done, self._total), self._total)

    # -- the server -----------------------------------------------------------------------------

    def _server(self) -> Found:
        """Examine what exists once."""
        found: Found = {}
        for what, read in (
            (self._keys.server_invitations, self._source.admission),
            (self._keys.retention, self._source.retention),
            (self._keys.network_bans, self._source.network_bans),
            (self._keys.reports, self._source.reports),
            (self._keys.audit, self._audit),
        ):
            try:
                read()
            except (StoreCorrupt, *UNDECODABLE) as error:
                found[f"server {what}"] = f"{what}: {error}"
        claimed = self._redis.ask_one(0, "HGET", self._keys.meta, CLAIMED)
        self._are_claimed = claimed is not None and int(claimed) >= CLAIMS
        return found

    def _audit(self) -> None:
        last = 0
        for entries in self._source.audit():
            for entry in entries:
                if entry.id <= last:
                    raise StoreCorrupt(f"entry {entry.id} comes after entry {last}")
                last = entry.id

    # -- partitions -----------------------------------------------------------------------------

    def _types(self, partition: int) -> Found:
        """Examine the types of what exists once in each partition."""
        found: Found = {}
        probes = _PROBES_OF_PARTITION | (_PROBES_OF_SERVER if not partition else {})
        for name, probe in probes.items():
            key = self._keys.common(partition, name)
            (reply,) = self._redis.try_to_ask([(partition, _probe(probe, key))])
            if isinstance(reply, Refused):
                found[f"type {key}"] = f"{key}: {reply}"
        return found

    def _partition(self, partition: int) -> Found:
        """Examine the contents of what exists once in each partition."""
        found: Found = {}
        feed, after = self._keys.feeds[partition], "-"
        while elements := self._redis.ask_one(
            partition, "XRANGE", feed, after, "+", "COUNT", ELEMENTS
        ):
            for id_, fields in elements:
                try:
                    _decode_feed_element(fields)
                except UNDECODABLE as error:
                    found[f"feed {feed}"] = f"{feed}: {id_.decode()} is damaged ({error})"
            after = f"({elements[-1][0].decode()}"
        found |= self._public_rooms(partition)
        return found

    def _public_rooms(self, partition: int) -> Found:
        """Examine whether the rooms exist that are listed as public."""
        found: Found = {}
        rooms = self._keys.common(partition, "rooms")
        for some in self._elements(partition, rooms):
            shown = [name.decode(errors="replace") for name in some]
            metas = [
                self._keys.conversation(ConversationKey(names.known(name)), key_kinds.META)[0]
                for name in shown
            ]
            kept = self._redis.try_to_ask([(partition, ("HGET", meta, "name")) for meta in metas])
            for name, meta, actual in zip(shown, metas, kept, strict=True):
                if not isinstance(actual, Refused) and actual != name.encode():
                    found[f"rooms {name}"] = f"{rooms}: lists {name}, which {meta} is not"
        return found

    def _elements(self, partition: int, key: str) -> Iterator[list[bytes]]:
        """Yield the elements of a sorted set, in order, some at a time."""
        start: bytes = b"-"
        while some := self._redis.ask_one(
            partition, "ZRANGEBYLEX", key, start, "+", "LIMIT", 0, ELEMENTS
        ):
            yield some
            start = b"(" + some[-1]

    def _listed_people(self, partition: int) -> Iterator[list[NameKey]]:
        for some in self._elements(partition, self._keys.common(partition, "people")):
            yield [NameKey(key.decode(errors="replace")) for key in some]

    # -- conversations --------------------------------------------------------------------------

    def _conversations(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, Found]:
        """Examine conversations with all that belongs to each."""
        all_of_them = [ExaminedConversation(self._source, key, self._now) for key in keys]
        self._read_counters(all_of_them)
        waiting = list(all_of_them)
        while waiting:
            answers = self._source.snapshots([one.question() for one in waiting])
            for one, answer in zip(waiting, answers, strict=True):
                self._advance(one.take(answer))
            waiting = [one for one in waiting if not one.is_complete]
        readable = [one for one in all_of_them if one.is_readable]
        for one in readable:
            one.read_people()
        self._check_accounts(readable)
        self._check_positions(readable)
        self._check_claims([(one.found, *one.named) for one in readable if one.named is not None])
        for one in readable:
            for text in one.remarks:
                self._remark("time", text)
        return {one.key: one.found for one in all_of_them}

    def _read_counters(self, examined: Sequence[ExaminedConversation]) -> None:
        """Read the sets of unread mentions and messages, before the logs that they count."""
        counters = [
            (one, kind, b"-") for one in examined for kind in (key_kinds.MENTIONS, key_kinds.UNREAD)
        ]
        while counters:
            replies = self._redis.try_to_ask(
                [
                    (
                        self._keys.partition(one.key),
                        (
                            *("ZRANGEBYLEX", self._keys.conversation(one.key, kind)[0]),
                            *(start, "+", "LIMIT", 0, ELEMENTS),
                        ),
                    )
                    for one, kind, start in counters
                ]
            )
            counters = [
                (one, kind, start)
                for (one, kind, _), reply in zip(counters, replies, strict=True)
                if (start := one.take_counters(kind, reply))
            ]

    def _check_accounts(self, examined: Sequence[ExaminedConversation]) -> None:
        """Find those whom conversations refer to and who have no account."""
        strangers = self._without_account({who for one in examined for who in one.people})
        for one in examined:
            for who in sorted(strangers & one.people.keys()):
                account = self._keys.person(who, key_kinds.ACCOUNT)
                one.found[f"account {who}"] = (
                    f"{one.people[who]} is about {who}, whose account {account} is missing"
                )

    def _check_positions(self, examined: Sequence[ExaminedConversation]) -> None:
        partitions = [self._keys.partition(one.key) for one in examined]
        positions = self._redis.ask(
            [(partition, ("HGET", self._keys.states[partition], "pos")) for partition in partitions]
        )
        for one, partition, position in zip(examined, partitions, positions, strict=True):
            state = self._keys.states[partition]
            if one.position > int(position or 0):
                one.found["position"] = (
                    f"{state}: its position is {int(position or 0)}, but {one.key} has an entry "
                    f"with the position {one.position}"
                )

    def _without_account(self, people: Collection[NameKey]) -> set[NameKey]:
        wanted = [who for who in people if who not in self._known]
        strangers: set[NameKey] = set()
        for start in range(0, len(wanted), MANY):
            some = wanted[start : start + MANY]
            kept = self._redis.try_to_ask(
                [
                    (self._keys.partition(w), ("HGET", self._keys.person(w, "a"), "name"))
                    for w in some
                ]
            )
            for who, name in zip(some, kept, strict=True):
                if name is None:
                    strangers.add(who)
                elif len(self._known) < MAX_KNOWN:
                    self._known.add(who)
        return strangers

    # -- people ---------------------------------------------------------------------------------

    def _people(self, people: Sequence[NameKey]) -> dict[NameKey, Found]:
        """Examine accounts, with their sessions and blocks, and their rows in the lobby."""
        keys, found = self._keys, {who: Found() for who in people}
        kinds = (key_kinds.ACCOUNT, key_kinds.TOKENS, key_kinds.BLOCKED, key_kinds.SAVED)
        commands: list[tuple[int, Arguments]] = []
        for who in people:
            account, tokens, blocked, listed = (keys.person(who, kind) for kind in kinds)
            commands += [
                (keys.partition(who), ("HMGET", account, *ACCOUNT_FIELDS)),
                (keys.partition(who), ("HGETALL", tokens)),
                (keys.partition(who), ("HKEYS", blocked)),
                (keys.partition(who), ("HGETALL", listed)),
            ]
        replies = self._redis.try_to_ask(commands)
        named = []
        for index, who in enumerate(people):
            row, sessions, others, flat = replies[4 * index : 4 * index + 4]
            shown, wrong = self._account(who, row)
            found[who] |= wrong | self._tokens(who, sessions) | self._saved(who, flat)
            if shown:
                named.append((found[who], str(who), shown))
            if not isinstance(others, Refused):
                others = {NameKey(other.decode(errors="replace")) for other in others}
                for other in sorted(self._without_account(others)):
                    key = keys.person(who, key_kinds.BLOCKED)
                    found[who][f"block {other}"] = f"{key}: blocks {other}, who has no account"
        self._check_lobby_rows(found)
        self._check_claims(named)
        return found

    def _account(self, who: NameKey, row: Reply | Refused) -> tuple[str, Found]:
        """Return the display name, empty without one, and what is wrong with an account."""
        key = self._keys.person(who, key_kinds.ACCOUNT)
        if isinstance(row, Refused):
            return "", {"account": f"{key}: {row}"}
        try:
            account = decode_account(who, row)
        except UNDECODABLE as error:
            return "", {"account": f"{key}: is damaged ({error})"}
        if account is None:
            listed = self._keys.common(self._keys.partition(who), "people")
            return "", {"account": f"{key}: is missing or incomplete, but {listed} lists {who}"}
        if names.known(account.name) != who:
            return "", {"account": f"{key}: is the account of {account.name}"}
        return account.name, {}

    def _check_claims(self, named: Sequence[tuple[Found, str, str]]) -> None:
        """Examine whether names are protected from lookalikes.

        With each name, of the account or room with the key that comes before it, is where to put
        what is wrong.
        """
        if not self._are_claimed:
            return
        claims = [
            (found, owner, shown, *self._keys.skeleton(skeleton))
            for found, owner, shown in named
            for skeleton in skeletons(shown)
        ]
        replies = self._redis.try_to_ask([(place, ("GET", claim)) for *_, place, claim in claims])
        for (found, owner, shown, _, claim), held in zip(claims, replies, strict=True):
            if isinstance(held, Refused):
                found[f"claim {claim}"] = f"{claim}: {held}"
            elif held is None:
                found[f"claim {claim}"] = f"{claim}: is missing, by which {shown} is protected"
            else:
                holder = held.partition(b"\0")[0].decode(errors="replace")
                if holder != owner:
                    self._remark("lookalike", f"{shown} looks like {holder}, which was there first")

    def _tokens(self, who: NameKey, flat: Reply | Refused) -> Found:
        key = self._keys.person(who, key_kinds.TOKENS)
        if isinstance(flat, Refused):
            return {"tokens": f"{key}: {flat}"}
        for token_id, packed in pairs(flat):
            try:
                decode_token(bytes.fromhex(token_id.decode()), who, packed)
            except UNDECODABLE as error:
                shown = token_id.decode(errors="replace")
                return {"tokens": f"{key}: the session {shown} is damaged ({error})"}
        return {}

    def _saved(self, who: NameKey, flat: Reply | Refused) -> Found:
        key = self._keys.person(who, key_kinds.SAVED)
        if isinstance(flat, Refused):
            return {"saved": f"{key}: {flat}"}
        try:
            decode_saved(flat)
        except UNDECODABLE as error:
            return {"saved": f"{key}: is damaged ({error})"}
        return {}

    def _check_lobby_rows(self, found: dict[NameKey, Found]) -> None:
        who, meta = self._keys.conversation(LOBBY_KEY, key_kinds.PARTICIPANTS, key_kinds.META)
        there = self._keys.partition(LOBBY_KEY)
        rows, head = self._redis.try_to_ask(
            [(there, ("HMGET", who, *found)), (there, ("HGET", meta, "seq"))]
        )
        if isinstance(rows, Refused) or isinstance(head, Refused):
            return  # found when the lobby was examined
        for person, row in zip(found, rows, strict=True):
            if row is not None:
                found[person] |= _row_of_lobby(person, row, int(head or 0), who)

    # -- all keys -------------------------------------------------------------------------------

    def _scanned(self, found: Sequence[str]) -> dict[str, Found]:
        """Examine whether keys are gochat's, have the right type, and belong to something."""
        wrong: dict[str, Found] = {key: {} for key in found}
        commands: list[tuple[int, Arguments]] = []
        asked: list[tuple[str, str]] = []
        for key in found:
            place = self._place(key)
            if place is None:
                self._remark("foreign", f"{key}: is not gochat's, and is left as it is")
                continue
            partition, kind, name = place
            if (probe := PROBES.get(kind)) is not None:
                asked.append((key, "type"))
                commands.append((partition, _probe(probe, key)))
            if kind in _OF_CONVERSATIONS and name != LOBBY_KEY:
                asked.append((key, "listed"))
                listed = self._keys.common(partition, "convs")
                commands.append((partition, ("SISMEMBER", listed, name)))
            elif kind == key_kinds.ACCOUNT:
                asked.append((key, "listed"))
                people = self._keys.common(partition, "people")
                commands.append((partition, ("ZRANGEBYLEX", people, f"[{name}", f"[{name}")))
        for (key, what), reply in zip(asked, self._redis.try_to_ask(commands), strict=True):
            if isinstance(reply, Refused):
                wrong[key]["type"] = f"{key}: {reply}"
            elif what == "listed" and not reply:
                wrong[key]["listed"] = f"{key}: belongs to nothing that is listed"
        self._check_owners(found, wrong)
        return wrong

    def _check_owners(self, found: Sequence[str], wrong: dict[str, Found]) -> None:
        """Examine whether those who have sessions have accounts."""
        tokens = [
            (place[0], key)
            for key in found
            if (place := self._place(key)) is not None and place[1] == "t" and not wrong[key]
        ]
        owners = self._redis.try_to_ask([(partition, ("GET", key)) for partition, key in tokens])
        there = {
            key: NameKey(owner.decode(errors="replace"))
            for (_, key), owner in zip(tokens, owners, strict=True)
            if isinstance(owner, bytes)
        }
        strangers = self._without_account(set(there.values()))
        for key, owner in there.items():
            if owner in strangers:
                wrong[key]["owner"] = f"{key}: is a session of {owner}, who has no account"

    def _place(self, key: str) -> tuple[int, str, str] | None:
        """Return the partition, the kind and the name of a key; None if it is not gochat's."""
        tag, _, remainder = key.removeprefix(f"{self._redis.location.options.prefix}:{{").partition(
            "}:"
        )
        if not tag.isdecimal() or int(tag) >= self._keys.partitions or tag != str(int(tag)):
            return None
        partition, (kind, colon, name) = int(tag), remainder.partition(":")
        if not colon:
            return (partition, kind, "") if kind in ALONE else None
        if kind not in PROBES:
            return None
        if kind == "i":
            name = name.rpartition(":")[0]
        is_here = kind in _ANYWHERE or self._keys.partition(name) == partition
        return (partition, kind, name) if is_here else None


def _row_of_lobby(person: NameKey, packed: bytes, head: int, who: str) -> Found:
    try:
        row = decode_row(packed)
    except UNDECODABLE as error:
        return {"lobby": f"{who}: the row of {person} is damaged ({error})"}
    if row.read > head:
        return {"lobby": f"{who}: {person} has read up to {row.read}, where there is nothing"}
    return {}


def _decode_feed_element(fields: Sequence[bytes]) -> None:
    _, packed = fields
    if msgspec.msgpack.decode(packed)[0] != NEW_EPOCH:
        decode_feed_entry(packed)


def _probe(command: str, key: str) -> Arguments:
    """Return a command that is refused if a key has a value of another type; it reads little."""
    match command:
        case "SISMEMBER":
            return ("SISMEMBER", key, "")
        case "XRANGE":
            return ("XRANGE", key, "-", "+", "COUNT", 1)
        case _:
            return (command, key)


#: Commands that tell the types of keys apart, by the table in keys.py.
_PROBES_OF_PARTITION: Final = {
    "state": "HLEN",
    "feed": "XRANGE",
    "probe": "HLEN",
    "convs": "SISMEMBER",
    "rooms": "ZCARD",
    "people": "ZCARD",
    "roles": "HLEN",
    "mutes": "HLEN",
    "restricted": "ZCARD",
}
_PROBES_OF_SERVER: Final = {
    **dict.fromkeys(
        ("meta", "nodes", "settings", "netbans", "reports", "reported", "retention"), "HLEN"
    ),
    **dict.fromkeys(("invites", "revoked"), "HLEN"),
    **dict.fromkeys(("openreports", "oldreports"), "ZCARD"),
    "audit": "LLEN",
    "deleted": "SISMEMBER",
    "sweep": "GET",
    "notices": "XRANGE",
}
PROBES: Final = {
    **dict.fromkeys("cwbikaghzv", "HLEN"),
    **dict.fromkeys("mnsduxrefj", "ZCARD"),
    **dict.fromkeys("qty", "GET"),
    "l": "LLEN",
    "p": "SISMEMBER",
    "o": "HLEN",
}
#: Keys of which there is one, in each partition or in the first.
ALONE: Final = frozenset({*_PROBES_OF_PARTITION, *_PROBES_OF_SERVER})
#: Kinds whose conversation is listed from its first entry on.
_OF_CONVERSATIONS: Final = frozenset({key_kinds.META, key_kinds.LOG, key_kinds.PARTICIPANTS, "i"})
#: Kinds that are not named after what decides their partition.
_ANYWHERE: Final = frozenset({"k", "q", "o", "g"})
