"""The line above the log: which conversation this is, and what it is about."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from gochat.protocol.messages import LOBBY
from gochat.tui.language import _, ngettext
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.presentation import count, span, status_line
from gochat.tui.model.views import ConversationView
from gochat.tui.text.sanitise import one_line


class ConversationHeader(Widget):
    """Title, topic, and how many are there. Folded, the side pane opens from here."""

    class PaneWanted(Message):
        """The person clicked the sign of the side pane."""

    class DetailsWanted(Message):
        """The person clicked what stands at the right: members, or who it is."""

    def __init__(self, model: ChatModel, *, id: str | None = None) -> None:  # noqa: A002 – as widgets say
        super().__init__(id=id)
        self._model = model
        self.is_pane_folded = False
        self._left = self._right = 0
        self._drawn = Content("")

    def render(self) -> Content:
        """Draw the line."""
        self._drawn = self._line()
        return self._drawn

    def refresh_if_changed(self) -> None:
        """Draw the line again if it would look otherwise."""
        if self.is_mounted and not self._line().is_same(self._drawn):
            self.refresh()

    def _line(self) -> Content:
        """Return the line: what does not fit is cut from the topic."""
        view = self._model.conversations.get(self._model.current)
        if view is None:
            return Content("")
        width = self.content_size.width
        pane = Content("")
        if self.is_pane_folded:
            unread, mentioned = self._model.badges
            badge = f" {'@' if mentioned else ''}{count(unread)}" if unread else ""
            style = "$accent bold" if mentioned else "$foreground bold"
            pane = Content.assemble(
                Content.styled("☰", "$text-muted"), Content.styled(badge, style), "  "
            )
        sign = Content.styled(view.conv[0], "$text-muted")
        title = Content.assemble(pane, sign, Content.styled(one_line(view.name), "bold"))
        number = len(view.pins or ())
        pins = ngettext("{n} pinned", "{n} pinned", number, n=count(number)) if number else ""
        about = " · ".join(filter(None, (pins, self._about())))
        right = Content.styled(about, "$text-muted")
        room = width - title.cell_length - right.cell_length - 4
        topic = Content("")
        subject = self._subject(view)
        if room > 3 and subject:
            topic = Content.styled(one_line(subject), "$text-muted").truncate(room, ellipsis=True)
        left = Content.assemble(title, "  ", topic)
        left = left.truncate(max(0, width - right.cell_length - 1), ellipsis=True)
        self._left = pane.cell_length
        self._right = width - right.cell_length
        gap = max(1, width - left.cell_length - right.cell_length)
        return Content.assemble(left, " " * gap, right)

    def _subject(self, view: ConversationView) -> str:
        """Return what stands after the title: a topic, or what the other person says."""
        if view.conv == LOBBY:
            return self._model.motd or ""
        if view.is_room:
            return view.topic
        said = self._model.status_of(view.name)
        return "" if said is None else status_line(said, self._model.wall_clock())

    def _about(self) -> str:
        view = self._model.shown
        if not view.joined:
            return _("you are not in this room")
        if view.conv == LOBBY:
            online = len(self._model.people)
            return ngettext("{n} online", "{n} online", online, n=count(online))
        if view.is_room:
            signs = [_("private room")] if view.private else []
            if view.archived:
                signs.append(_("archived"))
            elif view.announcements:
                signs.append(_("announcements only"))
            elif view.slow_mode:
                signs.append(_("slow mode {time}", time=span(view.slow_mode)))
            return " · ".join(signs)
        person = self._model.people.get(view.name)
        if view.name == self._model.me:
            return _("notes to yourself")
        if person is None:
            return _("offline · will read it later")
        if person.away:
            return _("away: {text}", text=one_line(person.away))
        return _("online")

    def on_click(self, event: events.Click) -> None:
        """The two ends can be clicked."""
        if event.x - self.gutter.left < self._left:
            self.post_message(self.PaneWanted())
        elif event.x - self.gutter.left >= self._right:
            self.post_message(self.DetailsWanted())
