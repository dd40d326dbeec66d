"""Pinning messages for everybody in a conversation, and saving them for oneself; both lists."""

from __future__ import annotations

from typing import Final

from gochat.client import GochatError, MessageId
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.controller import Controller
from gochat.tui.actions.view import ChatView
from gochat.tui.dialogs.kept import KeptPanel
from gochat.tui.language import N_, _
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.kept import KeptRow, pinned_row
from gochat.tui.text.sanitise import one_line

#: Saved messages that are asked for at once.
PAGE: Final = 50

_NO_PINS: Final = N_(
    "Nothing is pinned here. Select a message and press P to pin it for everybody here: in rooms "
    "their operators can, in #lobby moderators."
)
_NOTHING_SAVED: Final = N_(
    "You have saved nothing. Select a message and press S to find it here, on all your devices. "
    "Nobody else sees this list."
)
_SELECT: Final = N_("Select the message first: Up, or a click.")


class Keeping:
    """Knows what is pinned and saved, and changes it."""

    def __init__(self, view: ChatView, controller: Controller) -> None:
        self._view, self._controller = view, controller
        self._model, self._client = controller.model, controller.client
        self._panel: KeptPanel | None = None
        self._is_stale = False
        #: What the list of pins shows, and of which conversation.
        self._pinned: list[KeptRow] | None = None
        self._listed = ""

    # -- what is known ----------------------------------------------------------------------------

    def load(self) -> None:
        """Ask what is pinned in the shown conversation, unless that is known."""
        view = self._model.shown
        is_there = self._model.is_synchronised and (view.is_room or view.head > 0)
        if view.pins is None and view.joined and is_there:
            self._controller.spawn(self._load_pins(view.conv), f"pins {view.conv}")

    async def _load_pins(self, conv: str) -> None:
        while (view := self._model.find(conv)) is not None:
            changes = view.pin_changes
            try:
                seqs = await self._client.pinned_seqs(conv)
            except GochatError:
                return  # not reported: the next time that it is shown asks again
            if view.pin_changes == changes:
                self._model.take_pins(conv, seqs)
                return

    def load_saved(self) -> None:
        """Ask what the person has saved: the newest of it."""
        self._is_stale = True
        self._controller.spawn(self._load_saved(), "saved")

    async def _load_saved(self) -> None:
        while self._is_stale:
            self._is_stale = False
            try:
                page = await self._client.saved(limit=PAGE)
            except GochatError:
                return  # not reported: the next connection, or opening the list, asks again
            self._model.saved.take(page, is_first=True)
        self.refresh()

    def refresh(self) -> None:
        """Show what has changed, if a list is shown."""
        if self._panel is not None and self._panel.is_attached:
            self._panel.refresh_rows()

    # -- a message --------------------------------------------------------------------------------

    def selected(self) -> TimelineEntry | None:
        """Return the selected message, or say that there is none."""
        key = self._view.log_view.selected_key
        entry = None if key is None else self._model.entry(key)
        if entry is None or entry.kind != "text" or entry.seq is None or entry.deleted:
            self._say(_(_SELECT))
            return None
        return entry

    def pin(self, entry: TimelineEntry, *, on: bool) -> None:
        """Pin a message of the shown conversation for everybody there, or unpin it."""
        view = self._model.shown
        if view.is_room and not view.operates:
            self._refuse(view.conv)
        elif entry.seq is not None:
            message = MessageId(view.conv, entry.seq)
            self._controller.do(self._client.pin(message) if on else self._client.unpin(message))

    def save(self, entry: TimelineEntry, *, on: bool | None = None) -> None:
        """Save a message of the shown conversation, or no longer; None: the other than now."""
        if entry.seq is None:
            return
        conv, seq = self._model.current, entry.seq
        if on is None:
            on = (conv, seq) not in self._model.saved.places
        message = MessageId(conv, seq)
        done = _("Saved: /saved lists it.") if on else _("No longer saved.")
        work = self._client.save(message) if on else self._client.unsave(message)
        self._controller.do(work, lambda: self._say(done))

    # -- the lists --------------------------------------------------------------------------------

    def show_pins(self) -> None:
        """List what is pinned in the shown conversation; choosing one shows it."""
        self._pinned, self._listed = None, self._model.current
        self._open(
            KeptPanel(
                _("Pinned in {room}", room=one_line(self._listed)),
                _(_NO_PINS),
                _("Enter show it   D unpin   Esc close"),
                find=lambda: self._pinned,
                remove=self._unpin,
                now=self._view.chat_app.wall_clock,
            )
        )
        self._controller.spawn(self._list_pins(self._listed))

    async def _list_pins(self, conv: str) -> None:
        found = await self._client.pins(conv)
        if conv == self._listed:
            self._pinned = [pinned_row(one) for one in found]
            self.refresh()

    def pins_changed(self) -> None:
        """List the pins anew if they are shown and others than those are pinned by now."""
        view = self._model.find(self._listed) if self._pinned is not None else None
        if view is None or self._panel is None or not self._panel.is_attached:
            return
        if view.pins is not None and view.pins != [row.seq for row in self._pinned or ()]:
            self._controller.spawn(self._list_pins(self._listed), "listed_pins")

    def _unpin(self, row: KeptRow) -> None:
        view = self._model.find(row.conv)
        if view is not None and view.is_room and not view.operates:
            self._refuse(row.conv)
        else:
            self._controller.do(self._client.unpin(MessageId(row.conv, row.seq)))

    def show_saved(self) -> None:
        """List what the person has saved; choosing one shows it."""
        self._listed = ""
        is_known = False

        def find() -> list[KeptRow] | None:
            nonlocal is_known
            is_known = is_known or not self._controller.is_doing("saved")
            return self._model.saved.rows if is_known or self._model.saved.rows else None

        self.load_saved()
        self._open(
            KeptPanel(
                _("Saved messages"),
                _(_NOTHING_SAVED),
                _("Enter show it   D remove   Esc close"),
                find=find,
                remove=self._unsave,
                now=self._view.chat_app.wall_clock,
                load_more=self._load_more,
            )
        )

    def _load_more(self) -> None:
        self._controller.spawn(self._load_more_saved(), "more_saved")

    async def _load_more_saved(self) -> None:
        saved = self._model.saved
        if (cursor := saved.cursor) is not None:
            page = await self._client.saved(cursor=cursor, limit=PAGE)
            if saved.cursor == cursor:
                saved.take(page, is_first=False)
            self.refresh()

    def _unsave(self, row: KeptRow) -> None:
        self._controller.do(self._client.unsave(MessageId(row.conv, row.seq)))

    def _open(self, panel: KeptPanel) -> None:
        self._panel = panel
        self._view.app.push_screen(panel, self._chosen)

    def _chosen(self, row: KeptRow | None) -> None:
        if row is not None:
            self._view.go_to(row.conv, row.seq)

    def _refuse(self, conv: str) -> None:
        text = (
            _("Only moderators can pin messages in #lobby.")
            if conv == LOBBY
            else _("Only the operators of {room} can pin messages.", room=one_line(conv))
        )
        self._say(text)

    def _say(self, text: str) -> None:
        self._view.app.notify(text, markup=False)
