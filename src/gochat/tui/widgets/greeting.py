"""What an empty conversation shows instead of its log."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from gochat.protocol.messages import LOBBY
from gochat.tui.input.keys import Keymap
from gochat.tui.language import _
from gochat.tui.model.chat import ChatModel
from gochat.tui.profile.addresses import is_local
from gochat.tui.text.sanitise import one_line


class Greeting(Widget):
    """Stands in the place of the log while nobody has said anything there."""

    def __init__(self, model: ChatModel, *, id: str | None = None) -> None:  # noqa: A002 – as widgets say
        super().__init__(id=id)
        self._model = model
        self.keymap: Keymap | None = None
        self.server = ""

    def render(self) -> Content:
        """Draw it for the conversation that is shown."""
        view = self._model.conversations.get(self._model.current)
        if view is None:
            return Content("")
        title, text = self._words(view.conv)
        lines = [Content.styled(title, "bold"), Content.styled(text, "$text-muted"), Content("")]
        if view.conv == LOBBY and self.keymap is not None:
            hints = (
                (self.keymap.shown("switcher"), _("go to a room or a person")),
                (self.keymap.shown("rooms"), _("see all rooms, or create one")),
                ("/", _("write a command")),
                (self.keymap.shown("help"), _("everything else")),
            )
            for key, what in hints:
                lines.append(
                    Content.assemble(
                        Content.styled(f"{key:>8}", "$primary"),
                        "  ",
                        Content.styled(what, "$text-muted"),
                    )
                )
        return Content("\n").join(lines)

    def _words(self, conv: str) -> tuple[str, str]:
        if conv == LOBBY:
            welcome = _("Welcome, {person}.", person=one_line(self._model.me))
            others = len(self._model.people) - (self._model.me in self._model.people)
            if others < 1:
                command = f"gochat tui {one_line(self.server)}"
                how = (
                    _("Others on this machine get in with: {command}", command=command)
                    if is_local(self.server)
                    else _("Others get in with: {command}", command=command)
                )
                return welcome, "\n".join((_("You are the first one here."), how))
            return welcome, _("Say hello: what you write here, all can read.")
        if conv.startswith("#"):
            return one_line(conv), _(
                "A new room. /invite NAME asks somebody in; /topic says what it is for."
            )
        if conv[1:] == self._model.me:
            return _("Notes to yourself"), _("Only you can read what you write here.")
        return one_line(conv[1:]), _("Only the two of you can read what is written here.")
