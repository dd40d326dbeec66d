"""Reporting messages to the moderators, and as one of them, looking into reports."""

from __future__ import annotations

from typing import Final

from gochat.client import MessageId, Report
from gochat.tui.actions.base import Actions
from gochat.tui.dialogs.forms import ReportForm, ResolveForm
from gochat.tui.dialogs.pickers import ActionMenu
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.text.sanitise import one_line, sanitise

#: Characters of a message that the question shows.
_EXCERPT: Final = 200


class Reporting(Actions):
    """What is done with reports; the base of :class:`~.moderation.RoomModeration`."""

    def report_selected(self, reason: str = "") -> None:
        """Report the selected message, after asking why."""
        key = self._view.log_view.selected_key
        entry = None if key is None else self._model.entry(key)
        if entry is None:
            self.notify("Select the message first: Up, or a click.")
        else:
            self.report(entry, reason)

    def report(self, entry: TimelineEntry, reason: str = "") -> None:
        """Report a message, after asking why."""
        if entry.own or entry.seq is None or entry.deleted:
            self.notify("Only what somebody else has written can be reported.")
        else:
            self._ask(self._report(MessageId(self.conv, entry.seq), entry, reason))

    async def _report(self, message: MessageId, entry: TimelineEntry, reason: str) -> None:
        text = sanitise(entry.text)
        shown = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
        form = ReportForm(
            f"{one_line(entry.sender)}: {shown}\n\nThe moderators get a copy of this message, and "
            "see that it is from you.",
            reason,
        )
        why = await self._view.app.push_screen_wait(form)
        if why is not None:
            await self._client.report([message], reason=why)
            self.notify("The moderators will look into it.")

    def show_reports(self) -> None:
        """List the reports that wait; choosing one shows it."""
        if self._moderates():
            self._ask(self._reports())

    async def _reports(self) -> None:
        found = {str(one.id): one for one in await self._client.reports()}
        if not found:
            self.notify("No report waits for you.")
            return
        rows = {key: about_report(one) for key, one in found.items()}
        menu = ActionMenu("Reports: Enter opens one", rows)
        if (chosen := await self._view.app.push_screen_wait(menu)) is not None:
            await self.open_report(found[chosen])

    async def open_report(self, report: Report) -> None:
        """Show a report with its messages, and resolve it with a note, or leave it."""
        note = await self._view.app.push_screen_wait(ResolveForm(in_full(report)))
        if note is not None:
            await self._client.resolve_report(report.id, note=note)
            self.notify(f"Report {report.id} is resolved.")

    def _moderates(self) -> bool:
        if self._model.role != "member":
            return True
        self.notify("Only moderators of the server can do this.")
        return False


def about_report(report: Report) -> str:
    """Return a report in a line: who reports whom, where, and why."""
    senders = dict.fromkeys(one.sender for one in report.messages)
    about = ", ".join(one_line(name) for name in senders if name != report.sender)
    by = one_line(report.sender) or "a deleted account"
    reason = f": {one_line(report.reason)}" if report.reason else ""
    return f"{about} in {one_line(report.conversation)}, reported by {by}{reason}"


def in_full(report: Report) -> str:
    """Return a report with its messages."""
    lines = [about_report(report), ""]
    for one in report.messages:
        edited = " (edited)" if one.edited else ""
        when = f"{one.time.astimezone():%d %b %Y %H:%M}"
        lines.append(f"{when} {one_line(one.sender)}{edited}: {sanitise(one.text)}")
    return "\n".join(lines)
