"""What the list of what concerns the person does: shown, kept up to date, marked as seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from gochat.client import GochatError, Report
from gochat.client.moments import moment
from gochat.tui.actions.controller import Controller
from gochat.tui.actions.view import ChatView
from gochat.tui.dialogs.activity import ActivityPanel
from gochat.tui.model import activity
from gochat.tui.model.activity import ActivityRow

#: Seconds for which changes are collected before the server is asked again.
_COLLECT: Final = 0.3
#: Items that are asked for at once: all that most people ever look at.
PAGE: Final = 50


class ActivityActions:
    """Keeps the list of one model up to date, and shows it."""

    def __init__(
        self,
        view: ChatView,
        controller: Controller,
        answer_invitation: Callable[[str], None],
        open_report: Callable[[Report], None],
    ) -> None:
        self._view, self._controller = view, controller
        self._model, self._client = controller.model, controller.client
        self._answer_invitation, self._open_report = answer_invitation, open_report
        self._is_stale = False
        self._panel: ActivityPanel | None = None

    def ask_anew(self) -> None:
        """Ask the server for the list soon: it may have changed."""
        self._is_stale = True
        self._controller.spawn(self._load(), "activity")

    async def _load(self) -> None:
        while self._is_stale:
            await anyio.sleep(_COLLECT)
            self._is_stale = False
            try:
                page = await self._client.activity(limit=PAGE)
            except GochatError:
                return  # not reported: the next change, or connection, asks again
            self._model.take_activity(page)
            self.refresh()

    def load_more(self) -> None:
        """Ask for what is older than what is here, if there is more."""
        self._controller.spawn(self._load_more(), "more activity")

    async def _load_more(self) -> None:
        before = self._model.activity
        if before.cursor is not None:
            first, cursor = before.items[:1], before.cursor
            page = await self._client.activity(cursor=cursor, limit=PAGE)
            if before.cursor == cursor and before.items[:1] == first:
                before.add(page)
            self.refresh()

    def refresh(self) -> None:
        """Show what has changed, if the list is shown."""
        if self._panel is not None and self._panel.is_attached:
            self._panel.refresh_rows()

    def open(self) -> None:
        """Show the list, with the reports that wait by now: of a change of roles, which decides who
        handles one, nobody is notified."""
        self._panel = panel = ActivityPanel(
            lambda: activity.rows(self._model),
            see_all=self.see_all,
            load_more=self.load_more,
            now=self._view.chat_app.wall_clock,
        )
        self._view.app.push_screen(panel, self._chosen)
        self._controller.load_reports()

    def see_all(self) -> None:
        """Mark everything as seen, on all devices of the person."""
        newest = next((row.ts for row in activity.rows(self._model) if row.is_new), None)
        if newest is not None:
            self._model.see_activity(newest)
            self._controller.do(self._client.mark_activity(moment(newest)))
        self.refresh()

    def _chosen(self, row: ActivityRow | None) -> None:
        if row is None:
            return
        if row.kind == "invitation":
            if row.conv in self._model.invitations:
                self._answer_invitation(row.conv)
        elif row.kind == "report":
            if (report := self._model.reports.get(row.seq or 0)) is not None:
                self._open_report(report)
        elif row.seq is None:
            self._view.open_conversation(row.conv)
        else:
            self._view.go_to(row.conv, row.seq)
