"""Reporting messages to the moderators, and as one of them, looking into reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from gochat.client import GochatError, MessageId, Report, RestrictionKind
from gochat.tui.actions.base import Actions
from gochat.tui.dialogs.forms import BanForm, MuteForm, ResolveForm
from gochat.tui.dialogs.pickers import ActionMenu, ListMenu, PersonMenu
from gochat.tui.dialogs.report_form import MAX_REPORTED, Reportable, ReportForm
from gochat.tui.language import N_, _
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.presentation import because, report_resolved
from gochat.tui.text.dates import date_and_time
from gochat.tui.text.names import separated
from gochat.tui.text.sanitise import one_line, sanitise

#: Characters of a message, where the server has not said what it allows.
_LONGEST: Final = 4000

#: What comes of a ban from the server, and of a mute.
BANNED: Final = N_("All their sessions end, and they can't log in until the ban ends.")
MUTED: Final = N_("They write nothing in #lobby and public rooms until it ends.")


class Reporting(Actions):
    """What is done with reports; the base of :class:`~.address_bans.AddressBanning`."""

    def report_selected(self, reason: str = "") -> None:
        """Report the selected message, or those of which text is selected, after asking why."""
        keys = self._view.log_view.selected_keys
        found = [entry for key in keys if (entry := self._model.entry(key)) is not None]
        if not found:
            self.notify(_("Select the message first: Up, or a click."))
        else:
            self._report_all(found, reason)

    def report(self, entry: TimelineEntry) -> None:
        """Report a message, with those of which text is selected."""
        self._report_all(
            [
                one
                for key in dict.fromkeys((*self._view.log_view.selected_keys, entry.key))
                if (one := self._model.entry(key)) is not None
            ]
        )

    def _report_all(self, entries: Sequence[TimelineEntry], reason: str = "") -> None:
        chosen = sorted(
            (one for entry in entries if (one := reportable(entry)) is not None),
            key=lambda one: one.seq,
        )
        if all(one.own for one in chosen):
            self.notify(_("Only what somebody else has written can be reported."))
        elif len(chosen) > MAX_REPORTED:
            self.notify(_("At most {n} messages can be reported at once.", n=MAX_REPORTED))
        else:
            first = chosen[0].seq
            earlier = [
                one
                for entry in self._model.shown.timeline.entries
                if (one := reportable(entry)) is not None and one.seq < first
            ]
            self._ask(self._report(self.conv, chosen, earlier, reason))

    async def _report(
        self, conv: str, chosen: list[Reportable], earlier: list[Reportable], reason: str
    ) -> None:
        limits = self._client.limits
        longest = limits.text_chars if limits is not None else _LONGEST
        form = ReportForm(chosen, earlier, longest, reason)
        wanted = await self._view.app.push_screen_wait(form)
        if wanted is not None:
            messages = [MessageId(conv, seq) for seq in wanted.seqs]
            await self._answer(self._client.report(messages, reason=wanted.reason))
            self.notify(_("The moderators will look into it."))

    def show_reports(self) -> None:
        """List the reports that wait; choosing one shows it."""
        if self._moderates():
            found: dict[str, Report] = {}
            self._open_list(
                _("Reports: Enter opens one"),
                _("No report waits for you."),
                self._reports(found),
                lambda chosen: self.open_report(found[chosen]),
                self._moderation_refusal,
            )

    async def _reports(self, found: dict[str, Report]) -> dict[str, str]:
        reports = await self._client.reports()
        self._model.take_reports(reports)
        found |= {str(one.id): one for one in reports}
        return {key: because(key, about_report(one)) for key, one in found.items()}

    def open_report(self, report: Report) -> None:
        """Show a report with its messages, to be resolved with a note, or left."""
        self._ask(self._open_report(report))

    async def _open_report(self, report: Report) -> None:
        note, text, can_show = "", in_full(report), self._can_show(report)
        role = self._model.role

        def obstacle() -> str:
            if report.id in self._model.reports:
                return ""
            if self._model.role != role:
                return _("Your role at the server has changed: this report is not yours to handle.")
            return _("This report has been resolved meanwhile.")

        while True:
            form = ResolveForm(text, note, can_show=can_show, obstacle=obstacle)
            answer = await self._view.app.push_screen_wait(form)
            if answer is None:
                return
            note = answer.note
            if answer.act == "resolve":
                break
            if answer.act == "show":
                self._view.go_to(report.conversation, report.messages[-1].seq)
                return
            person = await self._one_of(reported(report))
            if person is not None:
                try:
                    await self._restrict_with_form(person, answer.act)
                except GochatError as error:  # the report, and the note, are still to be handled
                    self._controller.report(error_text(error))
        await self._resolve(report.id, note)

    def look_at_dialogs(self) -> None:
        """Show in open dialogs what the person may do now, and what is still to be done."""
        for dialog in self._view.app.screen_stack:
            if isinstance(dialog, PersonMenu | ListMenu | ResolveForm) and dialog.is_mounted:
                dialog.look()

    def _can_show(self, report: Report) -> bool:
        """Return whether the person is in the room whose messages are reported. A private
        conversation has the name of the other person, who is not this one's."""
        view = self._model.find(report.conversation)
        return view is not None and view.is_room and view.joined

    def resolve_report(self, report: int, note: str = "") -> None:
        """Resolve a report, with a note of what came of it."""
        if self._moderates():
            self._ask(self._resolve(report, note))

    async def _resolve(self, report: int, note: str) -> None:
        try:
            await self._answer(self._client.resolve_report(report, note=note))
        finally:  # also if somebody else was faster
            self._controller.load_reports()
        self._model.close_report(report)
        self.notify(report_resolved(report))

    async def _one_of(self, people: list[str]) -> str | None:
        if len(people) == 1:
            return people[0]
        menu = ActionMenu(_("Whom?"), {name: one_line(name) for name in people})
        return await self._view.app.push_screen_wait(menu)

    # -- what comes of it -------------------------------------------------------------------------

    async def _restrict_with_form(self, person: str, kind: RestrictionKind) -> None:
        """Ban a person from the server, or mute them, after asking for how long and why."""
        form = (
            BanForm(because(one_line(person), _(BANNED)))
            if kind == "ban"
            else MuteForm(because(one_line(person), _(MUTED)))
        )
        answer = await self._view.app.push_screen_wait(form)
        if answer is not None:
            await self._impose(person, kind, *answer)

    async def _impose(
        self, person: str, kind: RestrictionKind, duration: timedelta | None, reason: str
    ) -> None:
        await self._answer(self._client.restrict(person, kind, duration=duration, reason=reason))
        self.notify(
            _("{person} is banned from the server.", person=one_line(person))
            if kind == "ban"
            else _("{person} is muted.", person=one_line(person))
        )

    def _moderation_refusal(self) -> str:
        if self._model.role != "member":
            return ""
        return _("Only moderators of the server can do this.")

    def _moderates(self) -> bool:
        if not (refusal := self._moderation_refusal()):
            return True
        self.notify(refusal)
        return False


def reportable(entry: TimelineEntry) -> Reportable | None:
    """Return what can be reported of an entry; None if that is nothing."""
    if entry.kind != "text" or entry.seq is None or entry.deleted:
        return None
    return Reportable(entry.seq, entry.sender, entry.text, own=entry.own)


def reported(report: Report) -> list[str]:
    """Return who wrote the messages of a report, besides the person who reports them."""
    senders = dict.fromkeys(one.sender for one in report.messages)
    return [name for name in senders if name != report.sender]


def about_report(report: Report) -> str:
    """Return a report in a line: who reports whom, where, and why."""
    about = separated([one_line(name) for name in reported(report)])
    text = _(
        "{people} in {conversation}, reported by {person}", people=about,
        conversation=one_line(report.conversation),
        person=one_line(report.sender) or _("a deleted account"),
    )  # fmt: skip
    return because(text, one_line(report.reason))


def in_full(report: Report) -> str:
    """Return a report with its messages."""
    lines = [about_report(report), ""]
    for one in report.messages:
        when = date_and_time(one.time.astimezone(), year=True)
        edited = _("(edited)") if one.edited else ""
        lead = f"{when} {one_line(one.sender)} {edited}".strip()
        lines.append(because(lead, sanitise(one.text)))
    return "\n".join(lines)
