"""One conversation's log as one person sees it. Pure: no Textual, no network.

A log holds more than lines of chat: an edit or a reaction is an entry, too, and changes a line that
is further up. The timeline folds them in and keeps what is to be seen, in the order in which it is
to be seen, and reports what changed, so that a widget need not compare everything.

What is seen is a contiguous run of the log, then this person's messages that the server has not
yet acknowledged: they have no seq yet, so they stay at the end whatever else arrives. A
message that was refused stays where it was when that became known.

This person's own messages are recognised by their `cid`. As soon as the log is known to hold one,
by an event, a page or an acknowledgement, its line is the log's entry and no other:
:meth:`Timeline._settle` and :meth:`Timeline.put` see to that, whichever comes first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from gochat.client import (
    Form,
    LogEntry,
    MessageDeleted,
    MessageEdited,
    MessagePinned,
    MessageUnpinned,
    ReactionAdded,
    ReactionRemoved,
)
from gochat.protocol.text import is_mentioned
from gochat.tui.model.entries import (
    Amendment,
    Change,
    Inserted,
    MessageState,
    Prepended,
    Removed,
    Renewed,
    Replaced,
    TimelineEntry,
    Unseen,
    seen,
)
from gochat.tui.model.reactions import react, unreact


class Timeline:
    """The entries of one conversation. `me` is whose view it is."""

    def __init__(self, me: str) -> None:
        self.me = me
        self.entries: list[TimelineEntry] = []
        #: What waits for its acknowledgement, by cid, seen after all entries.
        self.pending: dict[str, TimelineEntry] = {}
        #: What was refused, by cid; each is among the entries, too.
        self.refused: dict[str, TimelineEntry] = {}
        #: The first and last seq that are loaded; both None when nothing is.
        self.first: int | None = None
        self.last: int | None = None
        #: Whether the log has more before `first`, as far as is known.
        self.older = True
        #: Whether the log has more after `last`: only while an older part is shown.
        self.newer = False
        #: How often what is loaded was replaced: a page that was asked for before does not fit.
        self.generation = 0
        self._seqs: list[int] = []  # of the entries that have one, for looking places up
        self._by_seq: dict[int, TimelineEntry] = {}
        self._cids: set[str] = set()  # of the person's own entries that are loaded
        self._replies: dict[int, list[TimelineEntry]] = {}
        self._notices = 0
        self._changes: list[Change] = []

    def __iter__(self) -> Iterator[TimelineEntry]:
        yield from self.entries
        yield from self.pending.values()

    def __len__(self) -> int:
        return len(self.entries) + len(self.pending)

    @property
    def unsent(self) -> set[str]:
        """The cids of what is not in the log, as far as is known."""
        return {*self.pending, *self.refused}

    def take_changes(self) -> list[Change]:
        """Return what changed since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    # -- reading ----------------------------------------------------------------------------------

    def entry(self, seq: int) -> TimelineEntry | None:
        """Return what is seen of the log entry `seq`, or None if it is not loaded or not seen."""
        return self._by_seq.get(seq)

    def find(self, key: str) -> TimelineEntry | None:
        """Return the entry with this key."""
        logged = self._by_seq.get(int(key)) if key.isdigit() else None
        return logged or self.pending.get(key) or self.refused.get(key)

    def key_at(self, seq: int) -> str | None:
        """Return the key of the last entry that is seen up to `seq`."""
        index = bisect_right(self._seqs, seq)
        return str(self._seqs[index - 1]) if index else None

    @property
    def first_key(self) -> str | None:
        """The key of the first entry of the log that is seen."""
        return str(self._seqs[0]) if self._seqs else None

    def unread_after(self, seq: int) -> tuple[int, int]:
        """Count the loaded messages of others after `seq`, and those of them that mention me."""
        unread = mentions = 0
        for at in self._seqs[bisect_right(self._seqs, seq) :]:
            entry = self._by_seq[at]
            if entry.kind == "text" and not entry.own and not entry.deleted:
                unread += 1
                mentions += is_mentioned(self.me, entry.mentions)
        return unread, mentions

    # -- the log ----------------------------------------------------------------------------------

    def add(self, message: LogEntry) -> TimelineEntry | None:
        """Take the next entry of the log; return what is seen of it, or None.

        One that is loaded already is ignored. One that would leave a gap is left to history, and
        `newer` says that there is something to fetch; so it is while an older part is shown.
        """
        if self.last is not None and message.seq > self.last + 1:
            self.newer = True
        if self.newer or (self.last is not None and message.seq <= self.last):
            self._settle((message,))
            return None
        return self._append(message, as_of=message.seq)

    def add_newer(self, messages: Sequence[LogEntry], *, as_of: int, newer: bool) -> None:
        """Take a page of history that follows what is loaded."""
        for message in messages:
            if self.last is None or message.seq == self.last + 1:
                self._append(message, as_of=as_of)
        self.newer = newer

    def add_older(self, messages: Sequence[LogEntry], *, as_of: int, older: bool) -> int:
        """Take a page of history that precedes what is loaded; return how many are seen of it."""
        messages = [m for m in messages if self.first is None or m.seq < self.first]
        self.older = older
        if not messages:
            return 0
        self._settle(messages)
        shown = [seen(m, me=self.me, as_of=as_of) for m in messages if not isinstance(m, Unseen)]
        self.first = messages[0].seq
        if self.last is None:
            self.last = messages[-1].seq
        self.entries[:0] = shown
        self._seqs[:0] = [entry.seq for entry in shown if entry.seq is not None]
        for entry in shown:
            self._index(entry)
        if shown:
            self._changes.append(Prepended(tuple(shown)))
        for entry in shown:
            self._requote(entry)
        return len(shown)

    def reset(
        self, messages: Sequence[LogEntry], *, as_of: int, older: bool, newer: bool = False
    ) -> None:
        """Forget the log and show `messages` instead. What is pending or refused stays."""
        self._settle(messages)
        for cid in [cid for cid, line in self.pending.items() if line.state == "sent"]:
            self.drop(cid)  # it is in the log; if not in this page, then before or after it
        self.entries = [
            seen(m, me=self.me, as_of=as_of) for m in messages if not isinstance(m, Unseen)
        ]
        self._seqs = [entry.seq for entry in self.entries if entry.seq is not None]
        self._by_seq, self._cids, self._replies = {}, set(), {}
        for entry in self.entries:
            self._index(entry)
        for entry in self.entries:
            self._quote(entry)
        self.entries += self.refused.values()
        self.first = messages[0].seq if messages else None
        self.last = messages[-1].seq if messages else None
        self.older, self.newer = older, newer
        self.generation += 1
        self._changes = [Renewed()]

    def trim(self, keep: int) -> None:
        """Forget all but about the last `keep` entries, which history can bring back."""
        if len(self._seqs) <= keep:
            return
        first = self._seqs[-keep]
        cut = next(i for i, entry in enumerate(self.entries) if entry.seq == first)
        kept = [entry for entry in self.entries[:cut] if entry.cid in self.refused]
        self.entries = kept + self.entries[cut:]
        for seq in self._seqs[:-keep]:
            self._cids.discard(self._by_seq.pop(seq).cid or "")
        del self._seqs[:-keep]
        self._replies = {}
        for entry in self.entries:
            if entry.reply_to is not None:
                self._replies.setdefault(entry.reply_to, []).append(entry)
        self.first, self.older = first, True
        self.generation += 1
        self._changes = [Renewed()]

    def note(self, kind: Literal["presence"], sender: str, text: str, ts: int) -> None:
        """Add a line that is in no log."""
        self._notices += 1
        self._insert(
            TimelineEntry(key=f"n{self._notices}", kind=kind, sender=sender, text=text, ts=ts)
        )

    def note_beginning(self, kind: Literal["hidden", "removed"]) -> None:
        """Show a line at the top: earlier messages are hidden from this person, or gone."""
        first = next(iter(self.entries), None)
        if first is None or first.kind not in ("hidden", "removed"):
            ts = first.ts if first is not None else 0
            entry = TimelineEntry(key=kind, kind=kind, sender="", text="", ts=ts)
            self.entries.insert(0, entry)
            self._changes.append(Prepended((entry,)))

    def _append(self, message: LogEntry, *, as_of: int) -> TimelineEntry | None:
        self.last = message.seq
        if self.first is None:
            self.first = message.seq
            self.older = message.seq > 1
        if isinstance(message, Unseen):
            if isinstance(message, Amendment):
                self._change(message)
            return None
        if isinstance(message, MessagePinned | MessageUnpinned):
            self._pin(message)
        entry = seen(message, me=self.me, as_of=as_of)
        self._index(entry)
        self._quote(entry)
        self._seqs.append(message.seq)
        if entry.own and entry.cid is not None and entry.cid == next(iter(self.pending), None):
            # The line is where it belongs, for nothing that was sent before it still waits.
            del self.pending[entry.cid]
            self.entries.append(entry)
            self._changes.append(Replaced(entry.cid, entry))
        else:
            self._settle((message,))
            self._insert(entry)
        return entry

    def _settle(self, messages: Iterable[LogEntry]) -> None:
        """Forget the lines of what has turned out to be in the log: its entry is shown instead."""
        for message in messages:
            if message.is_own and message.cid is not None:
                self.drop(message.cid)

    def _insert(self, entry: TimelineEntry) -> None:
        self.entries.append(entry)
        before = next(iter(self.pending), None)
        if self._changes:
            match self._changes[-1]:
                case Inserted(entries, at) if at == before:
                    self._changes[-1] = Inserted((*entries, entry), at)
                    return
                case _:
                    pass
        self._changes.append(Inserted((entry,), before))

    def _index(self, entry: TimelineEntry) -> None:
        if entry.seq is not None:
            self._by_seq[entry.seq] = entry
            if entry.own and entry.cid is not None:
                self._cids.add(entry.cid)
        if entry.reply_to is not None:
            self._replies.setdefault(entry.reply_to, []).append(entry)

    def _quote(self, entry: TimelineEntry) -> None:
        if entry.reply_to is not None:
            quoted = self._by_seq.get(entry.reply_to)
            entry.reply = ("", "") if quoted is None else (quoted.sender, quoted.text)

    def _requote(self, entry: TimelineEntry) -> None:
        """Show what `entry` reads now wherever it is quoted, and what it quotes itself."""
        self._quote(entry)
        for reply in self._replies.get(entry.seq or 0, ()):
            self._quote(reply)
            self._changes.append(Replaced(reply.key, reply))

    # -- changes ----------------------------------------------------------------------------------

    def _change(self, change: Amendment) -> None:
        entry = self._by_seq.get(change.message.seq)
        if entry is None or entry.deleted or change.seq <= entry.as_of:
            return
        match change:
            case MessageEdited(deleted=False):
                entry.text = change.text
                entry.edited = change.seq
                entry.mentions = change.mentions
            case MessageEdited() | ReactionAdded(emoji="") | ReactionRemoved(emoji=""):
                return  # another edit has followed, or the deletion; or the message is hidden
            case MessageDeleted():
                entry.text, entry.mentions = "", ()
                entry.deleted, entry.pinned = True, False
                entry.reactions = {}
            case ReactionAdded():
                react(entry.reactions, change.emoji, change.sender, self.me)
            case ReactionRemoved():
                unreact(entry.reactions, change.emoji, change.sender, self.me)
        self._changes.append(Replaced(entry.key, entry))
        if isinstance(change, MessageEdited | MessageDeleted):
            self._requote(entry)

    def _pin(self, change: MessagePinned | MessageUnpinned) -> None:
        """A message is pinned, or no longer; the entry that says so is seen, too."""
        entry = self._by_seq.get(change.message.seq)
        if entry is not None and not entry.deleted and change.seq > entry.as_of:
            entry.pinned = isinstance(change, MessagePinned)
            self._changes.append(Replaced(entry.key, entry))

    def redraw_pins(self) -> bool:
        """Draw the entries that quote what was pinned anew; return whether there are any."""
        found = [entry for entry in self.entries if entry.kind in ("pin", "unpin")]
        self._changes += [Replaced(entry.key, entry) for entry in found]
        return bool(found)

    # -- what is on its way -----------------------------------------------------------------------

    def put(
        self,
        cid: str,
        text: str,
        ts: int,
        *,
        reply_to: int | None = None,
        form: Form = "text",
        state: MessageState = "pending",
        error: str = "",
        seq: int | None = None,
        outbox_index: int = 0,
    ) -> None:
        """Show a message that is not in the log yet, or what has become of it since.

        `seq` is its number in the log, once it has one. Its line stays until it is its turn there.
        What is pending is in the order of `outbox_index`, or else of this call.
        """
        if cid in self._cids:
            return  # it is in the log: the news of that came first
        if seq is not None and (self.last is None or self.newer or seq <= self.last):
            self.drop(cid)  # its turn has passed, or comes when that part of the log is loaded
        elif state == "failed":
            self._refuse(self._own(cid, text, ts, reply_to, form, "failed", error))
        elif waiting := self.pending.get(cid):
            if waiting.state != state:
                waiting.state = state
                self._changes.append(Replaced(cid, waiting))
        elif state == "pending":
            self.drop(cid)  # it was refused, and is tried again
            entry = self._own(cid, text, ts, reply_to, form, state, error)
            entry.outbox_index = outbox_index
            later = [line for line in self.pending.values() if line.outbox_index > outbox_index]
            self.pending[cid] = entry
            for line in later:  # sent again, for the server has lost it: before what is new
                self.pending[line.key] = self.pending.pop(line.key)
            self._changes.append(Inserted((entry,), later[0].key if later else None))

    def drop(self, cid: str) -> None:
        """Forget a message that is not in the log, if it is here."""
        if self.pending.pop(cid, None):
            self._changes.append(Removed(cid))
        elif refused := self.refused.pop(cid, None):
            self.entries.remove(refused)
            self._changes.append(Removed(cid))

    def _refuse(self, entry: TimelineEntry) -> None:
        cid = entry.key
        before, self.refused[cid] = self.refused.get(cid), entry
        if before is not None:
            self.entries[self.entries.index(before)] = entry
            self._changes.append(Replaced(cid, entry))
        elif cid == next(iter(self.pending), None):
            del self.pending[cid]
            self.entries.append(entry)
            self._changes.append(Replaced(cid, entry))
        else:
            if self.pending.pop(cid, None):
                self._changes.append(Removed(cid))
            self._insert(entry)

    def _own(
        self, cid: str, text: str, ts: int, reply_to: int | None, form: Form, state: MessageState,
        error: str,
    ) -> TimelineEntry:  # fmt: skip
        entry = TimelineEntry(
            key=cid, kind="text", sender=self.me, text=text, ts=ts, cid=cid, own=True,
            state=state, error=error, form=form, reply_to=reply_to,
        )  # fmt: skip
        self._quote(entry)
        return entry
