"""The form for reporting messages: which ones, and why. It shows what the moderators will get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.widgets import Checkbox, Input, Static

from gochat.tui.dialogs.forms import Form
from gochat.tui.language import N_, _, ngettext
from gochat.tui.model.presentation import because
from gochat.tui.text.names import separated
from gochat.tui.text.sanitise import one_line, sanitise
from gochat.tui.widgets.field import Field

#: Messages in a report.
MAX_REPORTED: Final = 10
#: Characters of a message that are shown: of the only one, and of each of several.
_EXCERPT: Final = 200
_SHORT: Final = 60


@dataclass(frozen=True, slots=True)
class Reportable:
    """A message that can be reported; one's own only beside others."""

    seq: int
    sender: str
    text: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class ReportDraft:
    """What is reported, by their seqs, and why."""

    seqs: tuple[int, ...]
    reason: str


class ReportForm(Form[ReportDraft]):
    """Asks why messages are reported, and how many of those before them with them.

    `earlier` are those before the `chosen` ones, oldest first; `longest` is how many characters all
    of them may have together.
    """

    heading: ClassVar[str] = N_("Report to the moderators")
    done: ClassVar[str] = N_("Report")

    def __init__(
        self,
        chosen: Sequence[Reportable],
        earlier: Sequence[Reportable],
        longest: int,
        reason: str = "",
    ) -> None:
        self._chosen, self._earlier, self._longest = list(chosen), list(earlier), longest
        self._senders = dict.fromkeys(one.sender for one in chosen if not one.own)
        super().__init__(_shown(self._chosen))
        self._reason = reason

    def fields(self) -> ComposeResult:
        """Yield the fields."""
        yield Field("reason", _("Why (can be empty)"), self._reason)
        if self._earlier and len(self._chosen) < MAX_REPORTED:
            most = min(MAX_REPORTED - len(self._chosen), len(self._earlier))
            yield Field("before", _("Messages before it, too: 0 to {n}", n=most), "0")
            names = separated([*map(one_line, self._senders)])
            only = _("Of these only what {names} wrote", names=names)
            yield Checkbox(only, id="theirs", compact=True)

    def read(self) -> ReportDraft | None:
        """Return what is reported."""
        messages = self._messages()
        if messages is None:
            return None
        length = sum(len(one.text) for one in messages)
        if len(messages) > 1 and length > self._longest:
            self.wrong(
                "before" if self.query("#before") else "reason",
                _(
                    "Together at most {limit} characters, these have {n}. Report them in parts.",
                    limit=self._longest, n=length,
                ),
            )  # fmt: skip
            return None
        return ReportDraft(tuple(one.seq for one in messages), self.value("reason").strip())

    @on(Input.Changed, "#before")
    @on(Checkbox.Changed, "#theirs")
    def _changed(self) -> None:
        """Show what is reported now."""
        if (messages := self._messages()) is not None:
            for field in self.query(Field):
                field.show_error("")
            self.query_one("#form-text", Static).update(_shown(messages))

    def _messages(self) -> list[Reportable] | None:
        """Return what is reported, in order, or None after showing what is wrong."""
        if not self.query("#before"):
            return self._chosen
        earlier = self._earlier
        if self.query_one("#theirs", Checkbox).value:
            earlier = [one for one in earlier if one.sender in self._senders]
        text = self.value("before").strip() or "0"
        most = MAX_REPORTED - len(self._chosen)
        if not (text.isascii() and text.isdigit() and int(text) <= most):
            self.wrong("before", _("Please write a number from 0 to {n}.", n=most))
            return None
        number = int(text)
        return [*earlier[len(earlier) - min(number, len(earlier)) :], *self._chosen]


def _shown(messages: Sequence[Reportable]) -> str:
    """Return messages as the form shows them."""
    most = _EXCERPT if len(messages) == 1 else _SHORT
    lines = []
    for one in messages:
        text = sanitise(one.text) if len(messages) == 1 else one_line(one.text)
        excerpt = text if len(text) <= most else f"{text[:most]}…"
        lines.append(because(one_line(one.sender), excerpt))
    copies = ngettext(
        "The moderators get a copy of this message, and see that it is from you.",
        "The moderators get a copy of these {n} messages, and see that it is from you.",
        len(messages),
    )
    lines += ["", copies]
    return "\n".join(lines)
