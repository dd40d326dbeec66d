"""The popup of completions, and what it does to the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from textual.content import Content

from gochat.tui.input import emoji
from gochat.tui.input.completion import Candidate, Completions, Sources, complete
from gochat.tui.input.typable import typable
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.message_input import MessageInput
from gochat.tui.widgets.row_list import ListRow, RowList

#: Rows of the popup.
_ROWS: Final = 8


class CompletionPopup(RowList):
    """Shows candidates; never takes the focus from the field."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 – the widgets' word for it
        super().__init__(self._candidate, id=id, classes="-always")
        self.can_focus = False
        self.candidates: list[Candidate] = []
        self.display = False

    def offer(self, candidates: list[Candidate]) -> None:
        """Show candidates, none of them chosen."""
        self.candidates = candidates
        self.show([str(index) for index in range(len(candidates))])
        self.clear_cursor()
        self.styles.height = min(_ROWS, len(candidates))
        self.display = True
        self.refresh(layout=True)

    def _candidate(self, key: str) -> ListRow:
        candidate = self.candidates[int(key)]
        label = Content(f" {one_line(candidate.label)}")
        hint = Content.styled(f"{one_line(candidate.hint)} ", "$text-muted")
        if label.cell_length + hint.cell_length < self.scrollable_content_region.width:
            return ListRow(label, hint)
        return ListRow(Content.assemble(label, "  ", hint))  # the hint gives way


class Completer:
    """Completes what is typed in `field`: by itself where a sign asks for it, else on Tab.

    Tab takes the first candidate, Tab again the next, and so round; what is typed then ends it.
    Enter takes the first of a popup that came by itself.
    """

    def __init__(
        self, field: MessageInput, popup: CompletionPopup, sources: Callable[[], Sources]
    ) -> None:
        self._field, self._popup, self._sources = field, popup, sources
        self._found: Completions | None = None
        self._index: int | None = None
        self._applied = ""
        self._closed_at: str | None = None

    @property
    def is_open(self) -> bool:
        """True while the popup is shown."""
        return self._popup.display

    def typed(self) -> str:
        """The text or the cursor has changed; return the usage of a command that is written."""
        if self._field.is_commanding:  # the cursor moves, and nothing is typed
            self._index = None
            self._hide()
            return ""
        before = self._before()
        if self._index is not None and before == self._applied:
            return self._found.usage if self._found else ""
        self._index = None
        if named := emoji.just_named(before):
            start, sign = named
            self._replace(start, sign)  # and no space: what follows is being typed
            self.close()
            return ""
        self._found = found = complete(before, self._sources(), asked=False)
        word = before[found.start :]
        only_itself = [c.text.strip() for c in found.candidates] == [word.strip()]
        if found.automatic and found.candidates and not only_itself and before != self._closed_at:
            self._show(found)
            # A word that is complete is sent with Enter, although it could become a longer one;
            # and so is a command whose next argument was not begun.
            self._field.is_suggesting = (
                bool(word)
                and not found.is_whole
                and all(_plain(candidate.text) != _plain(word) for candidate in found.candidates)
            )
        else:
            self._hide()
        return found.usage

    def step(self, by: int) -> None:
        """Take the next candidate, or the one before."""
        if self._index is None:
            self._found = complete(self._before(), self._sources())
            if not self._found.candidates:
                return
            if len(self._found.candidates) == 1:
                self._take(self._found, 0)
                self.close()
                return
            self._show(self._found)
            index = 0 if by > 0 else len(self._found.candidates) - 1
        else:
            assert self._found is not None
            index = (self._index + by) % len(self._found.candidates)
        assert self._found is not None
        self._take(self._found, index)
        self._popup.cursor = index

    def take(self, index: int) -> None:
        """Take a candidate for good."""
        if self._found is not None and index < len(self._found.candidates):
            self._take(self._found, index)
        self.close()
        self._field.focus()

    def close(self) -> bool:
        """Close the popup; return whether it was open. It stays closed until more is typed."""
        was_open = self.is_open
        self._closed_at = self._before()
        self._index = None
        self._hide()
        return was_open

    def _take(self, found: Completions, index: int) -> None:
        self._index = index
        self._field.is_suggesting = False
        self._replace(found.start, found.candidates[index].text)
        self._applied = self._before()

    def _show(self, found: Completions) -> None:
        self._popup.offer(list(found.candidates))
        self._field.is_completing = True

    def _hide(self) -> None:
        self._popup.display = False
        self._field.is_completing = self._field.is_suggesting = False

    def _before(self) -> str:
        return self._field.get_text_range((0, 0), self._field.cursor_location)

    def _replace(self, start: int, text: str) -> None:
        """Replace what stands between the offset `start` and the cursor."""
        before = self._before()
        row = before.count("\n", 0, start)
        column = start - (before.rfind("\n", 0, start) + 1)
        result = self._field.replace(typable(text), (row, column), self._field.cursor_location)
        self._field.move_cursor(result.end_location)


def _plain(word: str) -> str:
    return word.strip().lstrip("#@").casefold()
