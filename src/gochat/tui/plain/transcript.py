"""What happens in the chat, in lines that are only ever appended.

It reads the changes of the model, as the screen of the app does, and remembers of each entry how it
was written, so that a change is reported once. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, assert_never

from gochat.tui.chat_log.items import LogNotice
from gochat.tui.language import _
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.entries import Inserted, Prepended, Removed, Renewed, Replaced, TimelineEntry
from gochat.tui.model.presentation import because, moment, report_resolved
from gochat.tui.model.views import Changes
from gochat.tui.text.names import shortened
from gochat.tui.text.sanitise import one_line, sanitise
from gochat.tui.widgets.log_items import log_item

#: Messages of a conversation that are shown when it is first opened.
RECENT: Final = 10
_EXCERPT: Final = 40
_INDENT: Final = "  "


class _Written(NamedTuple):
    """How an entry was when it was written last."""

    text: str
    deleted: bool
    state: str
    reactions: tuple[tuple[str, int], ...]


class Transcript:
    """Turns changes of a model into lines."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self._written: dict[tuple[str, str], _Written] = {}
        self._opened: set[str] = set()
        self._typed: set[str] = set()

    def typed(self, cid: str) -> None:
        """Don't repeat the message `cid`: it is on the screen as it was typed."""
        self._typed.add(cid)

    def lines(self, changes: Changes) -> Iterator[str]:
        """Yield what is new."""
        for conv, log in changes.logs.items():
            for change in log:
                match change:
                    case Inserted(entries):
                        for entry in entries:
                            yield from self._new(conv, entry)
                    case Replaced(_, entry):
                        yield from self._changed(conv, entry)
                    case Prepended() | Renewed():
                        yield from self.recent(conv)
                    case Removed():
                        pass
                    case _:
                        assert_never(change)
        for news in changes.attention:
            if news.kind == "invite":
                yield _(
                    "{person} invites you to {room}", person=one_line(news.sender),
                    room=one_line(news.conv),
                )  # fmt: skip
        for report in changes.closed_reports:
            yield f"* {report_resolved(report)}"

    def recent(self, conv: str) -> Iterator[str]:
        """Yield the last messages of a conversation that was not shown yet."""
        view = self._model.find(conv)
        if view is None or conv in self._opened:
            return
        entries = [entry for entry in view.timeline if entry.kind != "presence"]
        if not entries:
            return
        self._opened.add(conv)
        for entry in entries[-RECENT:]:
            if (conv, entry.key) not in self._written:
                yield from self._new(conv, entry)

    def _new(self, conv: str, entry: TimelineEntry) -> Iterator[str]:
        known = self._written.get((conv, entry.cid or entry.key))
        self._written[conv, entry.cid or entry.key] = _written(entry)
        if entry.cid in self._typed:
            if entry.state == "failed":
                yield from self._failed(conv, entry)
            return
        if known is None and entry.sender not in self._model.blocked:
            yield from self._message(conv, entry)

    def _changed(self, conv: str, entry: TimelineEntry) -> Iterator[str]:
        key = conv, entry.cid or entry.key
        before, now = self._written.get(key), _written(entry)
        self._written[key] = now
        if before is None or before == now:
            return
        who, where = one_line(entry.sender), one_line(conv)
        if now.state == "failed" != before.state:
            yield from self._failed(conv, entry)
        elif now.deleted and not before.deleted:
            yield _(
                "{conversation} {person} deleted: {text}", conversation=where, person=who,
                text=_excerpt(before.text),
            )  # fmt: skip
        elif now.text != before.text:
            lead = _("{conversation} {person} edited:", conversation=where, person=who)
            yield from self._prefixed(f"{lead} ", now.text)
        elif now.reactions != before.reactions:
            counts = " ".join(f"{emoji} {count}" for emoji, count in now.reactions)
            yield _(
                "{conversation} reactions to {person}, {text}: {reactions}", conversation=where,
                person=who, text=_excerpt(now.text), reactions=one_line(counts) or _("none"),
            )  # fmt: skip

    def _failed(self, conv: str, entry: TimelineEntry) -> Iterator[str]:
        text = _("not sent to {conversation}", conversation=one_line(conv))
        yield because(because(text, one_line(entry.error)), _excerpt(entry.text))

    def _message(self, conv: str, entry: TimelineEntry) -> Iterator[str]:
        time = f"{moment(entry.ts):%H:%M}"
        item = log_item(entry, self._model.me, self._model.highlights, self._model.blocked)
        lead = f"{one_line(conv)} {time} "
        if isinstance(item, LogNotice):
            yield f"{lead}* {one_line(item.text)}"
            return
        who = one_line(entry.sender)
        if entry.deleted:
            yield lead + because(who, _("(deleted)"))
            return
        if entry.reply is not None and entry.reply[0]:
            sender, text = entry.reply
            who = _(
                "{person} replies to {other}, {text}", person=who, other=one_line(sender),
                text=_excerpt(text),
            )  # fmt: skip
        lead += f"* {who} " if entry.form == "action" else f"{who}: "
        if item.mention:
            lead += _("(mentions you)") + " "
        yield from self._prefixed(lead, entry.text)

    def _prefixed(self, lead: str, text: str) -> Iterator[str]:
        first, *others = sanitise(text).split("\n")
        yield lead + first
        for line in others:
            yield _INDENT + line


def _written(entry: TimelineEntry) -> _Written:
    reactions = tuple((emoji, tally.count) for emoji, tally in entry.reactions.items())
    return _Written(entry.text, entry.deleted, entry.state, reactions)


def _excerpt(text: str) -> str:
    return f"“{shortened(one_line(text), _EXCERPT)}”"
