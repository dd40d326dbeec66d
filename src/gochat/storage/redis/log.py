"""Appending: what happens before a script appends the entry, and after it.

The script (:mod:`gochat.storage.redis.append_script`) writes everything derived from an entry
atomically with it, in the conversation's partition. What is in other partitions is written before
it, so that it does no harm if the entry fails: the lists of a person's conversations, and claims on
cids and on names of rooms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, islice, takewhile
from typing import Final

from gochat.chat import conversations
from gochat.chat.log import Appended, Draft, Unchanged
from gochat.chat.names import NameKey
from gochat.chat.refusals import cid_conflict
from gochat.chat.skeletons import looks_taken
from gochat.errors import ChatError, ErrorCode, FactsChanged, StoreUnavailable
from gochat.protocol.messages import Message
from gochat.storage.common.clock import wall_clock
from gochat.storage.redis.append_script import CLAIM_MEMORY, AppendScript, refusal
from gochat.storage.redis.blocks import Blocks
from gochat.storage.redis.claims import Claim
from gochat.storage.redis.conversation_lists import ConversationLists
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.link.pipeline import GONE, Operation, RedisCommand
from gochat.storage.redis.link.topology import Topology
from gochat.storage.redis.link.url import Options
from gochat.storage.redis.link.wire import Reply
from gochat.storage.redis.names import Names
from gochat.storage.redis.order import Placed, Position
from gochat.storage.redis.reading import Reading

#: Seconds after which to retry an append when the data turns out to have another history.
TRY_AGAIN: Final = 0.2
#: What ends appending in order: it may be appended later, and nothing overtakes it.
_FOR_NOW: Final = (FactsChanged, StoreUnavailable)
#: Drafts that one call of the script appends, at most: a script blocks the server.
MAX_TOGETHER: Final = 64


class Pending:
    """A draft in progress, and its outcome.

    `epoch` is the one assumed at the beginning, before any cached data was used: in another epoch,
    that data is invalid. `at` is where it was appended, now or at the latest.
    """

    __slots__ = ("at", "claim", "draft", "epoch", "has_claimed_cid", "outcome", "partition")

    def __init__(self, draft: Draft, partition: int, epoch: str) -> None:
        self.draft: Final = draft
        self.partition: Final = partition
        self.epoch: Final = epoch
        self.outcome: Appended | Unchanged | ChatError | StoreUnavailable | None = None
        self.at: Position | None = None
        self.claim: Claim | None = None  # on the name of a new room
        self.has_claimed_cid = False


class Log:
    """Create the operations that append, and put appended entries into `appended`, in order."""

    def __init__(
        self,
        keys: Keys,
        topology: Topology,
        epoch_tracker: EpochTracker,
        names: Names,
        reading: Reading,
        options: Options,
        clock: Callable[[], int] | None,
    ) -> None:
        self._keys = keys
        self._topology = topology
        self._epoch_tracker = epoch_tracker
        self._names = names
        self._reading = reading
        self._options = options
        self._clock = clock
        self._script = AppendScript(keys, names, options, clock)
        self._blocks = Blocks(keys, names)
        self._lists = ConversationLists(keys)
        self.appended: Final[deque[Placed]] = deque()
        #: An append is under way: set by each, and unset when that, or another, has been settled.
        self.is_under_way = False

    def forget(self) -> None:
        """Clear the cache."""
        self._lists.forget()

    def append(self, drafts: Sequence[Draft], *, in_order: bool = True) -> Operation[list[Pending]]:
        """Append drafts; those that were not looked at are missing in the result.

        See :meth:`gochat.chat.store.Store.append`. Without `in_order` each is another session's, so
        all are looked at, those of each partition together, whatever becomes of the others. The
        outcome of one may be the error that it would raise alone.
        """
        drafts = yield from self._blocks.without_blocked_mentions(drafts)
        pending = [self._pending(draft) for draft in drafts]
        people = [_people(draft) for draft in drafts]
        yield from self._names.look_up(chain.from_iterable(people))
        for item, concerned in zip(pending, people, strict=True):
            missing = [key for key in concerned if self._names.person(key) is None]
            if missing:
                item.outcome = conversations.nobody(missing[0], None)
        yield from self._lists.add(item.draft for item in pending if item.outcome is None)
        yield from self._claim_names(pending)
        yield from self._claim(pending)
        yield from self._try([item for item in pending if item.outcome is None], in_order=in_order)
        if self._options.wait and pending:
            yield from self._wait(pending)
        changed = [in_order and isinstance(item.outcome, FactsChanged) for item in pending]
        return pending[: changed.index(True) + 1] if any(changed) else pending

    def shared_slot(self, drafts: Sequence[Draft]) -> int | None:
        """Return the slot of which others' drafts may be appended with these; None: of none.

        All that is read and written for them is on one server, or else it would take the failure of
        any of several to fail them.
        """
        if len(drafts) != 1:
            return None
        (draft,) = drafts
        slot = self._topology.slot(self._keys.partition(draft.conversation))
        is_far = slot != self._topology.slot(self._keys.partition(draft.sender_key))
        return None if is_far else slot

    def _pending(self, draft: Draft) -> Pending:
        partition = self._keys.partition(draft.conversation)
        return Pending(draft, partition, self._epoch_tracker.epoch(partition))

    # -- before the entry -----------------------------------------------------------------------

    def _claim_names(self, pending: Sequence[Pending]) -> Operation[None]:
        for item in pending:
            if item.outcome is None and item.draft.kind == "create":
                claim = Claim(self._keys, item.draft.conversation, item.draft.to)
                if (yield from claim.make()):
                    item.claim = claim
                else:
                    item.outcome = looks_taken(item.draft.to)

    def _claim(self, pending: Sequence[Pending]) -> Operation[None]:
        """Reserve the cids of drafts whose sender's keys may be on another server."""
        far = [item for item in pending if item.outcome is None and self._is_claimed_apart(item)]
        if not far:
            return
        commands = []
        for item in far:
            partition = self._keys.partition(item.draft.sender_key)
            key = self._keys.claim(item.draft.sender_key, item.draft.cid or "")
            conversation = item.draft.conversation
            commands += [
                RedisCommand(partition, ("SET", key, conversation, "NX", "EX", CLAIM_MEMORY)),
                RedisCommand(partition, ("GET", key)),
            ]
        replies = yield commands
        for item, made, holder in zip(far, replies[::2], replies[1::2], strict=True):
            item.has_claimed_cid = made is not None
            if holder is not None and holder.decode() != item.draft.conversation:
                item.outcome = cid_conflict()

    def _is_far(self, item: Pending) -> bool:
        """Return True if the sender's keys may be on another server than the conversation's."""
        slot = self._topology.slot
        return slot(item.partition) != slot(self._keys.partition(item.draft.sender_key))

    def _is_claimed_apart(self, item: Pending) -> bool:
        return item.draft.cid is not None and self._is_far(item)

    # -- the entry ------------------------------------------------------------------------------

    def _try(self, pending: Sequence[Pending], *, in_order: bool) -> Operation[None]:
        """Append drafts, those of one partition together; if `in_order`, only those that follow
        each other, until one fails for now.
        """
        waiting = pending
        while waiting:
            runs = _runs(waiting, in_order=in_order)
            self.is_under_way = True
            results = yield [self._command(run) for run in runs]
            for run, (status, *replies) in zip(runs, results, strict=True):
                try:
                    self._require_done(run[0].partition, status, replies)
                    for item, reply in zip(run, replies, strict=False):  # not of all, see `again`
                        yield from self._settle(item, reply)
                except StoreUnavailable as error:
                    if in_order:
                        raise
                    for item in run:
                        if item.outcome is None:
                            item.outcome = error
            waiting = [item for item in waiting if item.outcome is None]
            if in_order and any(isinstance(item.outcome, _FOR_NOW) for item in runs[0]):
                for item in waiting:
                    yield from self._release(item)
                return

    def _require_done(self, partition: int, status: bytes, replies: Sequence[Reply]) -> None:
        match status:
            case b"done":
                return
            case b"gate":
                raise StoreUnavailable(
                    "the store is another one: looking whether all is there",
                    retry_after=max(replies[0], 100) / 1000,
                )
            case _:
                # Accounts and listed conversations were cached in the old history. So the append
                # must start over, as clients do anyway.
                self._epoch_tracker.doubt(partition)
                raise StoreUnavailable(
                    "the history of the store has changed", retry_after=TRY_AGAIN
                )

    def _settle(self, item: Pending, reply: Reply) -> Operation[None]:
        """Take in the reply to a draft."""
        match reply[0]:
            case b"ok":
                item.outcome = self._appended(item, reply)
                return
            case b"again":
                return
            case b"gone":
                item.outcome = StoreUnavailable(GONE)
            case b"dup":
                item.at = Position(item.partition, reply[1].decode(), reply[3])
                item.outcome = yield from self._earlier(item.draft, reply[2])
                return
            case b"same":
                item.outcome = Unchanged()
            case b"no":
                item.outcome = refusal(ErrorCode(reply[1].decode()), item.draft)
            case _:
                item.outcome = FactsChanged()
        yield from self._release(item)

    def _wait(self, pending: Sequence[Pending]) -> Operation[None]:
        """Wait for the replicas: once per server, in a separate round trip.

        It follows the entries of all operations that share the round trip, because a server carries
        out nothing after a WAIT on the same connection.
        """
        places = {self._topology.slot(item.partition): item.partition for item in pending}
        milliseconds = int(self._options.wait_timeout * 1000)
        replicas = min(
            (
                yield [
                    RedisCommand(partition, ("WAIT", self._options.wait, milliseconds))
                    for partition in places.values()
                ]
            )
        )
        if replicas < self._options.wait:
            raise StoreUnavailable(
                f"only {replicas} of {self._options.wait} replicas have it so far"
            )

    def _command(self, together: Sequence[Pending]) -> RedisCommand:
        """Return the command that appends drafts of one partition."""
        first = together[0]
        drafts = [(item.draft, not self._is_far(item)) for item in together]
        return self._script.command(first.partition, first.epoch, drafts)

    def _appended(self, item: Pending, reply: Reply) -> Appended:
        logged, position = self._script.appended(item.draft, reply)
        placed = Placed(item.partition, logged.entry.epoch, position, logged)
        self._epoch_tracker.note(*placed)
        self.appended.append(placed)
        item.at = Position(item.partition, logged.entry.epoch, position)
        return Appended(logged.entry)

    def find_by_cid(
        self, draft: Draft
    ) -> Operation[tuple[Appended | ChatError | None, Position | None]]:
        """Find an earlier attempt, and where it was appended at the latest.

        See :meth:`gochat.chat.store.Store.find_by_cid`.
        """
        cid = draft.cid or ""
        claim = self._keys.claim(draft.sender_key, cid)
        partition = self._keys.partition(draft.conversation)
        said = self._keys.by_cid(draft.conversation, draft.sender_key, cid)
        seq, (epoch, position), holder = yield [
            RedisCommand(partition, ("HGET", *said)),
            RedisCommand(partition, ("HMGET", self._keys.states[partition], "epoch", "pos")),
            RedisCommand(self._keys.partition(draft.sender_key), ("GET", claim)),
        ]
        if seq is not None:
            at = Position(partition, epoch.decode(), int(position))
            return (yield from self._earlier(draft, int(seq))), at
        if holder is not None and holder.decode() != draft.conversation:
            return cid_conflict(), None
        return None, None

    def _earlier(self, draft: Draft, seq: int) -> Operation[Appended | ChatError]:
        """Read the entry that has the `cid` of a draft."""
        page = yield from self._reading.page(
            draft.conversation, draft.sender_key, None, seq - 1, 1, is_own=True
        )
        is_there = bool(page.entries) and page.entries[0].seq == seq
        if is_there and draft.is_repeated_by(page.entries[0]):
            return Appended(page.entries[0], dup=True)
        # The page may be of another history than the index that gave its seq: check again.
        said = self._keys.by_cid(draft.conversation, draft.sender_key, draft.cid or "")
        (again,) = yield [RedisCommand(self._keys.partition(draft.conversation), ("HGET", *said))]
        if again is None or int(again) != seq:
            raise StoreUnavailable("the history of the store has changed", retry_after=TRY_AGAIN)
        if is_there:
            return cid_conflict()
        # It was appended so long ago that its text was dropped.
        return Appended(
            Message(
                to=self._names.room(draft.conversation) or self._script.address(draft),
                epoch=page.epoch,
                seq=seq,
                ts=(self._clock or wall_clock)(),
                from_=self._names.person(draft.sender_key) or draft.sender,
                kind=draft.kind,
                text=draft.text,
                ref=draft.ref,
                cid=draft.cid,
            ),
            dup=True,
        )

    def _release(self, item: Pending) -> Operation[None]:
        """Release the cid of a draft that was not appended, and its claim on the name of a room."""
        if item.claim is not None:
            yield from item.claim.release()
        if item.has_claimed_cid:
            partition = self._keys.partition(item.draft.sender_key)
            key = self._keys.claim(item.draft.sender_key, item.draft.cid or "")
            yield [RedisCommand(partition, ("DEL", key))]


def _runs(waiting: Sequence[Pending], *, in_order: bool) -> list[list[Pending]]:
    """Return what is appended by one command each, now."""
    if in_order:
        partition = waiting[0].partition
        first = takewhile(lambda item: item.partition == partition, waiting)
        return [list(islice(first, MAX_TOGETHER))]
    runs: dict[int, list[Pending]] = {}
    for item in waiting:
        runs.setdefault(item.partition, []).append(item)
    return [run[:MAX_TOGETHER] for run in runs.values()]


def _people(draft: Draft) -> list[NameKey]:
    people = [draft.sender_key, *draft.mentioned]
    if draft.subject is not None:
        people.append(draft.subject)
    if conversations.is_private(draft.conversation):
        people += conversations.participants(draft.conversation)
    return people
