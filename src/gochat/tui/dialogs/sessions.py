"""The sessions of the account: which devices are logged in, and ending one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from gochat.client import GochatError, Session
from gochat.tui.dialogs.panel import Panel
from gochat.tui.language import N_, _
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.presentation import ago, sentence
from gochat.tui.text.names import separated
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow, RowList

#: Lists the sessions, and ends one by its id.
Load = Callable[[], Coroutine[Any, Any, list[Session]]]
End = Callable[[str], Coroutine[Any, Any, None]]

_KEYS = N_("Del end a session   ↑↓ move   Esc close")
_AROUND = 8


class SessionPanel(Panel[None]):
    """Lists the account's sessions, and ends one after asking. Returns nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False),
        Binding("delete,backspace,d", "ask", show=False),
        Binding("y", "agree", show=False),
        Binding("n", "keep", show=False),
    ]
    box: ClassVar[str] = "picker"

    def __init__(self, load: Load, end: End, now: Callable[[], float]) -> None:
        super().__init__()
        self._load, self._end, self._now = load, end, now
        self._sessions: dict[str, Session] = {}
        self._asked: str | None = None  # about which session
        self.rows = RowList(self._draw, id="picker-rows", classes="-always")
        self._title = Static(_("Your sessions"), id="picker-title", markup=False)
        self._keys = Static(_("Loading…"), id="picker-keys", markup=False)

    def compose(self) -> ComposeResult:
        """A box near the top, as of other lists."""
        with Vertical(id="picker"):
            yield self._title
            yield self.rows
            yield self._keys

    def on_mount(self) -> None:
        """Ask the server."""
        self.rows.styles.max_height = max(3, self.size.height - _AROUND)
        self.rows.focus()
        self.run_worker(self._refresh(), group="sessions")

    async def _refresh(self) -> None:
        try:
            sessions = await self._load()
        except GochatError as error:
            self._fail(error)
            return
        self._show(sessions)

    def _show(self, sessions: list[Session]) -> None:
        in_order = sorted(sessions, key=_rank)
        self._sessions = {session.id: session for session in in_order}
        self._title.update(_("Your sessions · {n}", n=len(sessions)))
        self.rows.show(list(self._sessions))
        if self.rows.cursor is None:
            self.rows.action_end(-1)
        self._keys.update(_(_KEYS))

    def _fail(self, error: GochatError) -> None:
        text = sentence(one_line(error_text(error)))
        self._keys.update(Content.assemble(Content.styled(text, "$text-error"), f"\n{_(_KEYS)}"))

    def _draw(self, key: str) -> ListRow:
        """Its name, what it may do, and where and when it was last used."""
        session = self._sessions[key]
        sign = Content.styled("●", "$success") if session.online else Content.styled(
            "○", "$text-disabled"
        )  # fmt: skip
        notes: list[str] = []
        if session.scopes:
            notes.append(_("may {scopes}", scopes=separated(session.scopes)))
        if session.rooms:
            notes.append(_("in {rooms}", rooms=one_line(separated(session.rooms))))
        left = Content.assemble(
            " ", sign, " ", Content.styled(_name(session), "bold"),
            Content.styled(f"  {' '.join(notes)}", "$text-muted"),
        )  # fmt: skip
        when = _("online") if session.online else ago(session.seen, self._now())
        signs = [_("this one"), one_line(session.address)] if session.this else [
            one_line(session.address), when
        ]  # fmt: skip
        return ListRow(left, Content.styled(f"{' · '.join(signs)} ", "$text-muted"))

    # -- ending one --------------------------------------------------------------------------------

    def action_ask(self) -> None:
        """Ask whether to end the session under the cursor."""
        key = self.rows.cursor_key
        if key is None:
            return
        session = self._sessions[key]
        if session.this:
            own = _("This is the session that you use: /logout ends it.")
            self._keys.update(f"{own}\n{_(_KEYS)}")
            return
        self._asked = key
        self._keys.update(
            Content.assemble(
                Content.styled(_("End {session}?", session=_name(session)), "bold"),
                " ",
                _("It has to log in again.   y yes   n no"),
            )
        )

    def action_keep(self) -> None:
        """No."""
        self._asked = None
        self._keys.update(_(_KEYS))

    def action_agree(self) -> None:
        """Yes: end it, and show what is left."""
        asked, self._asked = self._asked, None
        if asked is not None:
            self._keys.update(_("Ending it…"))
            self.run_worker(self._end_it(asked), group="sessions")

    async def _end_it(self, session_id: str) -> None:
        try:
            await self._end(session_id)
            sessions = await self._load()
        except GochatError as error:
            self._fail(error)
            return
        self._show(sessions)

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        """A question is about the session under the cursor: moving on takes it back."""
        event.stop()
        if self._asked is not None and event.key != self._asked:
            self.action_keep()

    def action_cancel(self) -> None:
        """Take the question back, or close."""
        if self._asked is not None:
            self.action_keep()
        else:
            super().action_cancel()


def _rank(session: Session) -> tuple[bool, bool, float]:
    return not session.this, not session.online, -session.seen.timestamp()


def _name(session: Session) -> str:
    return one_line(session.device) or (_("a program") if session.scopes else _("a device"))
