"""Copy a whole store into a new one, from any engine to any.

A copy contains accounts with their password hashes, sessions, who may register, from where nobody
may connect, for how long what is kept, rooms with topic, access, members, operators and
invitations, all conversations with every entry as it reads now (seq, time, sender, kind, text, ref,
cid, edits, deletions, reactions), read markers and levels, reports of messages, and the audit log.

**The source must be idle.** A running server would accept messages that the copy never gets, so the
copy is refused while one uses the source. A SQLite file is locked against servers meanwhile.
Locking a Redis would change it; instead, the leases of its nodes and the positions of all feeds are
checked before and after: if anything was appended, the copy fails.

**The target is a new store**, unusable until it is complete: a SQLite file gets its name at the
end, and a Redis is marked as an unfinished copy, which servers refuse. So running the same command
again continues an interrupted copy: each conversation after the last copied entry. The target
records the fingerprint of its source, and accepts no other.

**The copy is compared** with its source before it is published: both are read again, and each
conversation must have the same entries, people and properties, by count and digest.

**The copy has a new epoch.** With the old one, clients could keep their cursors. But the source is
unchanged and can be served again, by mistake or to go back. Then there would be two histories with
one name, and a client would take the entries of one for those of the other. Besides, each partition
of a Redis may have its own epoch, while a SQLite file has one. A new epoch costs each client one
page per open conversation; messages sent again are recognised by their cid, which is copied.
Backups work the same way.

The oldest entries may be gone (:mod:`gochat.chat.retention`). Then the copy begins where they do.
Their cids, of which a store has kept digests, are not copied.

Order across conversations follows the time: a search may return messages of two conversations from
the same millisecond in the other order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct, structs

from gochat.chat.token import Token
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage import REDIS_SCHEMES
from gochat.storage.common.clock import wall_clock
from gochat.storage.transfer.contents import ConversationRecord, EntryRecord, Source, Target

#: Entries per step: a few hundred kilobytes, or 16 MB if all have the maximum length. Each step is
#: a transaction in SQLite, and a pipeline in Redis.
BATCH: Final = 1000
#: Differences listed: more would add no information.
MAX_NAMED: Final = 10

#: Called with the phase, the amount done, and the total, in entries and people.
Progress: TypeAlias = Callable[[str, int, int], None]

COPYING: Final = "copying"
COMPARING: Final = "comparing"

_encode = msgspec.msgpack.Encoder().encode


class Part(Struct, frozen=True):
    """Compared data that is the same on both sides."""

    what: str
    count: int
    digest: str


class Report(Struct, frozen=True):
    """The result of a copy.

    `found` entries had been copied before, by an interrupted copy. `kinds` counts the entries by
    kind. `reused_cids`: see :meth:`~gochat.storage.transfer.contents.Target.complete`.
    """

    parts: Sequence[Part]
    kinds: dict[str, int]
    found: int
    reused_cids: int


def copy(
    source_url: str,
    target_url: str,
    *,
    restart: bool = False,
    progress: Progress = lambda *_: None,
    clock: Callable[[], int] = wall_clock,
) -> Report:
    """Copy a store; continue an interrupted copy, which can be killed at any time.

    `restart` deletes what an interrupted copy has left in the target, and nothing else.

    Raises:
        ConfigError: there is nothing to copy; or the target contains something else, or an
            unfinished copy of another source.
        StoreUnavailable: a server uses the source, or has used it meanwhile; or one of the two
            can't be reached now, or is out of space.
        StoreCorrupt: the source is damaged, or newer than this program; or the copy differs. No
            server uses the target then.
    """
    now = clock()
    with _open_source(source_url) as source:
        source.require_idle()
        fingerprint = source.fingerprint()
        with _open_target(target_url, fingerprint, restart=restart) as target:
            total = _Total(source)
            found = _carry(source, target, total, progress, now)
            reused_cids = target.complete()
            _require_unchanged(source, fingerprint)
            report = _compare(source, target.contents, total, progress, now)
            _require_unchanged(source, fingerprint)
            target.publish()
    return msgspec.structs.replace(report, found=found, reused_cids=reused_cids)


def _open_source(url: str) -> AbstractContextManager[Source]:
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "sqlite":
        from gochat.storage.transfer.sqlite_source import open_source

        return open_source(url)
    if separator and scheme in REDIS_SCHEMES:
        from gochat.storage.transfer.redis_source import open_source as open_redis_source

        return open_redis_source(url)
    raise _no_store(scheme)


def _open_target(url: str, fingerprint: str, *, restart: bool) -> AbstractContextManager[Target]:
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "sqlite":
        from gochat.storage.transfer.sqlite_target import open_target

        return open_target(url, fingerprint, restart=restart)
    if separator and scheme in REDIS_SCHEMES:
        from gochat.storage.transfer.redis_target import open_target as open_redis_target

        return open_redis_target(url, fingerprint, restart=restart)
    raise _no_store(scheme)


def _no_store(scheme: str) -> ConfigError:
    # Without the remainder of the URL, which may contain a password.
    return ConfigError(
        f"unsupported store URL scheme {scheme[:32]!r}: "
        "use sqlite:///PATH (sqlite:////PATH if absolute) or redis://HOST:PORT"
    )


def _require_unchanged(source: Source, fingerprint: str) -> None:
    source.require_idle()
    if source.fingerprint() != fingerprint:
        raise StoreUnavailable(
            "a server has written to the source meanwhile: stop it, and copy again with --restart"
        )


class _Total:
    """The amount of work."""

    def __init__(self, source: Source) -> None:
        self.entries = sum(_kept(record) for group in source.conversations() for record in group)
        self.people = sum(len(some) for some in source.people())
        self.all = self.entries + self.people


def _kept(record: ConversationRecord) -> int:
    return record.head - record.base


# -- carrying ----------------------------------------------------------------------------------


def _carry(source: Source, target: Target, total: _Total, progress: Progress, now: int) -> int:
    """Copy everything that is missing; return the number of entries copied before."""
    done = found = 0
    progress(COPYING, 0, total.all)
    for group in source.conversations():
        heads = target.heads(group)
        already = sum(head - record.base for head, record in zip(heads, group, strict=True))
        found += already
        done += already
        for pieces in _pages(source, group, heads):
            target.extend(pieces)
            done += sum(len(entries) for _, entries in pieces)
            progress(COPYING, done, total.all)
        target.describe(list(zip(group, source.participants(group), strict=True)))
        progress(COPYING, done, total.all)
    # After the conversations, because people's markers refer to the lobby's entries.
    for people in source.people():
        target.put_people(people)
        done += len(people)
        progress(COPYING, done, total.all)
    for acts in source.audit():
        target.put_audit(acts)
    target.forget_tokens()
    for tokens in source.tokens(now):
        target.put_tokens(tokens, now)
    target.put_admission(source.admission())
    target.put_retention(source.retention())
    target.put_network_bans(source.network_bans())
    target.put_reports(source.reports())
    return found


def _pages(
    source: Source,
    records: Sequence[ConversationRecord],
    after: Sequence[int],
    whose: str = "the source",
) -> Iterator[list[tuple[ConversationRecord, list[EntryRecord]]]]:
    """Yield the entries of conversations, of all in turn, about :data:`BATCH` at a time.

    Raises:
        StoreCorrupt: entries are missing.
    """
    waiting = [
        (record, seq) for record, seq in zip(records, after, strict=True) if seq < record.head
    ]
    while waiting:
        found = source.entries(waiting, max(1, BATCH // len(waiting)))
        pieces = []
        going_on = []
        for (record, seq), entries in zip(waiting, found, strict=True):
            last = seq
            for entry in entries:
                last += entry.seq == last + 1
            if last != seq + len(entries) or not entries:
                raise StoreCorrupt(
                    f"{whose} has not all entries of {record.key}: there is a gap after {last}"
                )
            pieces.append((record, entries))
            if entries[-1].seq < record.head:
                going_on.append((record, entries[-1].seq))
        yield pieces
        waiting = going_on


# -- comparing ---------------------------------------------------------------------------------


class _Sum:
    """A count of items, with a digest that does not depend on their order."""

    def __init__(self, what: str) -> None:
        self.what: Final = what
        self.count = 0
        self._value = 0

    def add(self, thing: Any) -> None:
        self.add_digest(blake2b(_encode(thing), digest_size=16).digest())

    def add_digest(self, digest: bytes, count: int = 1) -> None:
        self.count += count
        self._value ^= int.from_bytes(digest, "big")

    def part(self) -> Part:
        return Part(self.what, self.count, f"{self._value:032x}")


def _compare(source: Source, copied: Source, total: _Total, progress: Progress, now: int) -> Report:
    """Read both again, and report what was compared. Raises StoreCorrupt if they differ."""
    differing: list[str] = []
    entries, memberships = _Sum("entries"), _Sum("memberships")
    conversations = _Sum("conversations")
    kinds: Counter[str] = Counter()
    done = 0
    progress(COMPARING, 0, total.all)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(COMPARING, done, total.all)

    for group in source.conversations():
        others = copied.find([record.key for record in group])
        expected = _digests(source, group, kinds, advance=advance)
        for record, other in zip(group, others, strict=True):
            if record != other:
                differing.append(f"{record.key}, as a whole")
        for record, wanted, another in zip(
            group, expected, _digests(copied, group, Counter(), whose="the copy"), strict=True
        ):
            conversations.add(record)
            entries.add_digest(wanted, _kept(record))
            if wanted != another:
                differing.append(f"the entries of {record.key}")
        for record, here, there in zip(
            group, source.participants(group), copied.participants(group), strict=True
        ):
            for participant in here:
                memberships.add((record.key, participant))
            if here != there:
                differing.append(f"the people of {record.key}")
    there_are = sum(len(group) for group in copied.conversations())
    if there_are != conversations.count:
        differing.append(f"there are {there_are} conversations")
    parts = [conversations.part(), entries.part(), memberships.part()]
    for what, all_here, all_there in (
        ("accounts", source.people(), copied.people()),
        ("sessions", map(_sessions, source.tokens(now)), map(_sessions, copied.tokens(now))),
        ("acts", source.audit(), copied.audit()),
        ("invitations", _admission(source), _admission(copied)),
        ("networks", _network_bans(source), _network_bans(copied)),
        ("reports", [source.reports()], [copied.reports()]),
        ("rules", [list(source.retention().items())], [list(copied.retention().items())]),
    ):
        part = _summed(what, all_here)
        if part != _summed(what, all_there):
            differing.append(f"the {what}")
        parts.append(part)
    advance(total.people)
    if differing:
        more = len(differing) - MAX_NAMED
        raise StoreCorrupt(
            "the copy is not the same as its source, and no server will use it; different: "
            + "; ".join(differing[:MAX_NAMED])
            + (f"; and {more} more" if more > 0 else "")
            + ". Copy again with --restart"
        )
    return Report(parts, dict(kinds), 0, 0)


def _summed(what: str, all_of_them: Iterable[Sequence[object]]) -> Part:
    total = _Sum(what)
    for some in all_of_them:
        for element in some:
            total.add(element)
    return total.part()


def _admission(source: Source) -> list[list[tuple[object, ...]]]:
    found = source.admission()
    return [[structs.astuple(invitation) for invitation in found.invitations]] + [
        [(found.mode,)]
    ] * bool(found.mode)


def _network_bans(source: Source) -> list[list[tuple[object, ...]]]:
    return [[(network, *structs.astuple(ban)) for network, ban in source.network_bans().items()]]


def _sessions(tokens: Sequence[Token]) -> list[tuple[object, ...]]:
    return [structs.astuple(token) for token in tokens]


def _digests(
    source: Source,
    records: Sequence[ConversationRecord],
    kinds: Counter[str],
    *,
    whose: str = "the source",
    advance: Callable[[int], None] = lambda _: None,
) -> list[bytes]:
    """Return a digest of each conversation's entries, in the order of `records`."""
    hashes = {record.key: blake2b(record.key.encode(), digest_size=16) for record in records}
    for pieces in _pages(source, records, [record.base for record in records], whose):
        for record, entries in pieces:
            digest = hashes[record.key]
            for entry in entries:
                digest.update(_encode(entry))
                kinds[entry.kind] += 1
        advance(sum(len(entries) for _, entries in pieces))
    return [hashes[record.key].digest() for record in records]
