"""Full-text search; a hit is shown in its context."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Protocol

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from gochat.client import Found, GochatError, Message
from gochat.protocol import search_query
from gochat.tui.dialogs.picker import Picker
from gochat.tui.host.timers import surely
from gochat.tui.language import N_, _
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.presentation import ago
from gochat.tui.text.finding import ranges
from gochat.tui.text.sanitise import one_line, sanitise
from gochat.tui.widgets.row_list import ListRow

#: Seconds without a key before the server is asked, and between two questions.
_PAUSE: Final = 0.2
#: Rows from the end at which the next page is asked for.
_NEAR_END: Final = 5
#: Characters before the first match that its row shows.
_LEAD: Final = 24


class Search(Protocol):
    """Asks the server, as :meth:`gochat.client.Client.search` does."""

    async def __call__(self, query: str, *, conversation: str | None, cursor: str | None) -> Found:
        """Return a page of what is found, in all conversations if none is given."""
        ...


class SearchScreen(Picker):
    """Finds messages in the shown conversation or in all. Returns ``conv seq``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+t", "scope", show=False, priority=True),
    ]
    placeholder: ClassVar[str] = N_('Words, "a phrase", from:NAME, in:ROOM')
    keys_text: ClassVar[str] = N_("Enter show it   Ctrl+T here or everywhere   Esc close")

    def __init__(
        self, search: Search, conv: str, me: str, now: Callable[[], float], query: str = ""
    ) -> None:
        super().__init__(query)
        self._search, self._conv, self._me, self._now = search, conv, me, now
        self._everywhere = True
        self._hits: dict[str, Message] = {}
        self._cursor: str | None = None
        self._timer: Timer | None = None
        self._asked = ""

    def details(self) -> ComposeResult:
        """The whole text of the hit under the cursor."""
        with VerticalScroll(id="hit", can_focus=False):
            yield Static("", id="hit-text", markup=False)

    def on_mount(self) -> None:
        """Search at once for what was given."""
        if self.query_text:
            self._ask_soon()

    def title_text(self) -> str:
        """Where is searched."""
        if self._everywhere:
            return _("Search in everything")
        return _("Search in {conversation}", conversation=one_line(self._conv))

    @property
    def found(self) -> Sequence[str]:
        """What was found, as far as it was asked for, in the order of the list."""
        return list(self._hits)

    def find(self, query: str) -> Sequence[str]:
        """What the server has found."""
        return list(self._hits)

    def draw(self, key: str) -> ListRow:
        """Who, where, when, and the text around the first match."""
        hit = self._hits[key]
        conv = hit.conversation
        text = one_line(hit.text)
        words = self._words()
        first = min((start for start, end in ranges(text, words)), default=0)
        if first > _LEAD:
            text = "…" + text[first - _LEAD :]
        where = "" if not self._everywhere else f" {one_line(conv)}"
        sender = Content.styled(one_line(hit.sender), "bold")
        left = Content.assemble(
            " ", sender, Content.styled(f"{where}  ", "$text-muted"), _marked(text, words)
        )
        return ListRow(left, Content.styled(f"{ago(hit.time, self._now())} ", "$text-muted"))

    def _words(self) -> Sequence[str]:
        return search_query.parse(self.query_text).terms

    def moved(self, key: str) -> None:
        """Show the whole text, and ask for more near the end."""
        if hit := self._hits.get(key):
            self.query_one("#hit-text", Static).update(_marked(sanitise(hit.text), self._words()))
        keys = list(self._hits)
        if self._cursor and keys and keys.index(key) >= len(keys) - _NEAR_END:
            cursor, self._cursor = self._cursor, None
            self.run_worker(self._ask(self._asked, cursor), group="search")

    @on(Input.Changed, "#picker-query")
    def _query_typed(self) -> None:
        self._ask_soon()

    def _ask_soon(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = surely(self.set_timer(_PAUSE, self._ask_now))

    def _ask_now(self) -> None:
        query = self.query_text.strip()
        self._asked = query
        self._hits, self._cursor = {}, None
        self.workers.cancel_group(self, "search")
        if not query:
            self.refresh_rows()
            self.query_one("#hit-text", Static).update("")
            return
        self.run_worker(self._ask(query, None), group="search")

    async def _ask(self, query: str, cursor: str | None) -> None:
        scope = None if self._everywhere else self._conv
        text = self.query_one("#hit-text", Static)
        is_first = cursor is None
        while True:
            try:
                found = await self._search(query, conversation=scope, cursor=cursor)
            except GochatError as error:
                text.update(Content.styled(one_line(error_text(error)), "$text-error"))
                self._cursor = cursor
                return
            cursor = found.cursor
            if found.hits or cursor is None:
                break
            # A server without an index looks at some thousand messages for a page.
            if not self._hits:
                text.update(Content.styled(_("Looking further back…"), "$text-muted"))
            await asyncio.sleep(_PAUSE)
        self._cursor = cursor
        for hit in found.hits:
            self._hits[f"{hit.conversation} {hit.seq}"] = hit
        self.refresh_rows(to_top=is_first)
        if not self._hits:
            text.update(Content.styled(_("Nothing found."), "$text-muted"))

    def action_scope(self) -> None:
        """Search here, or everywhere."""
        self._everywhere = not self._everywhere
        self.refresh_title()
        self._ask_now()


def _marked(text: str, words: Sequence[str]) -> Content:
    """Return `text` with the words marked, whatever their case and accents."""
    content = Content(text)
    for start, end in ranges(text, words):
        content = content.stylize("$accent bold", start, end)
    return content
