"""From typing to sending: completion, commands, large pastes, the editor."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from gochat.client import GochatError, MessageId
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.chat import ChatActions
from gochat.tui.actions.controller import Controller
from gochat.tui.actions.view import ChatView
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.pickers import ActionMenu
from gochat.tui.host.editor import edit_text
from gochat.tui.input import commands
from gochat.tui.input.completion import Sources
from gochat.tui.language import _, ngettext
from gochat.tui.text.dividing import divided
from gochat.tui.text.sanitise import sanitise
from gochat.tui.widgets.completer import Completer, CompletionPopup
from gochat.tui.widgets.composer import Editing

#: The least time between two notices that this person is typing, in seconds.
_TYPING_INTERVAL: Final = 3.0
#: Lines and columns of a large paste that are shown with the question about it.
_SHOWN_LINES: Final = 4
_SHOWN_COLUMNS: Final = 60


class ComposerActions:
    """What the chat screen does with its composer. Nothing that is typed is lost."""

    def __init__(
        self, view: ChatView, actions: ChatActions, controller: Controller, popup: CompletionPopup
    ) -> None:
        self._view, self._actions, self._controller = view, actions, controller
        self._composer, self._popup = view.composer, popup
        self._typed_at = float("-inf")
        self.completer: Final = Completer(self._composer.input, popup, self._sources)

    # -- sending ----------------------------------------------------------------------------------

    def send(self, conv: str, text: str, reply_to: int | None) -> None:
        """Send a message, or run a command; if that fails, put the text back into the field."""
        self.completer.close()
        if commands.is_command(text):
            if not self._actions.carry_out(text):
                self._write_again(text)
        elif closed := self._closed(conv):
            self._controller.report(closed)
            self._write_again(text)
        elif self._controller.send(conv, commands.plain(text), reply_to=reply_to):
            self._typed_at = float("-inf")
            self._view.go_to_now()
        else:
            self._write_again(text)
        self._view.keep_draft()

    def _closed(self, conv: str) -> str:
        view = self._controller.model.find(conv)
        return "" if view is None else view.closed

    def _write_again(self, text: str) -> None:
        since = self._composer.input.text
        self._composer.input.write(f"{text}\n{since}" if since else text)

    def edit(self, conv: str, seq: int, text: str) -> None:
        """Change a message; if that fails, go on editing it."""
        self._controller.spawn(self._edit(conv, seq, text))

    async def _edit(self, conv: str, seq: int, text: str) -> None:
        try:
            with self._controller.waiting():
                await self._controller.client.edit(MessageId(conv, seq), text)
        except GochatError:
            composer = self._composer
            if composer.conv == conv and not composer.input.text and composer.mode is None:
                composer.edit(seq, text)
            raise

    # -- typing -----------------------------------------------------------------------------------

    def typed(self) -> None:
        """Handle a change of the text or the cursor."""
        composer = self._composer
        composer.show_usage(self.completer.typed())
        self._place_popup()
        self._view.keep_draft()
        text = composer.input.text
        if not text or commands.is_command(text) or composer.mode is not None:
            return
        now = self._view.chat_app.time()
        if now - self._typed_at >= _TYPING_INTERVAL:
            self._typed_at = now
            self._controller.typing(composer.conv)

    def use_language(self) -> None:
        """Complete in the language that is in use now."""
        self._composer.show_usage(self.completer.typed())
        self._place_popup()

    def complete(self, step: int) -> None:
        """Insert the next completion, or the previous one."""
        if step:
            self.completer.step(step)
        else:
            self.completer.take(0)
        self._place_popup()

    def _place_popup(self) -> None:
        # Above the field, however many lines it has; over the note, which repeats it.
        if self._popup.display:
            self._popup.styles.margin = (0, 2, self._composer.line_height, 2)

    def _sources(self) -> Sources:
        controller, conv = self._controller, self._composer.conv
        # The lobby has no list of members: everybody is one, and who is online is known anyway.
        if conv.startswith("#") and conv != LOBBY and conv not in controller.members:
            controller.members[conv] = []
            controller.spawn(self._load_members(conv), "members")
        return Sources(
            controller.model,
            rooms=[room.name for room in controller.rooms],
            themes=sorted(self._view.app.available_themes),
            members=[member.name for member in controller.members.get(conv, ())],
        )

    async def _load_members(self, room: str) -> None:
        # Not reported: without it there are only fewer names to complete.
        with suppress(GochatError):
            await self._controller.load_members(room)

    # -- pastes and the editor --------------------------------------------------------------------

    def paste(self, text: str) -> None:
        """Insert a large paste, after asking."""
        self._controller.spawn(self._paste(text))

    async def _paste(self, text: str) -> None:
        lines = text.removesuffix("\n").split("\n")
        start = "\n".join(line[:_SHOWN_COLUMNS] for line in lines[:_SHOWN_LINES])
        question = Confirm(
            ngettext("Paste {n} line?", "Paste {n} lines?", len(lines)), _("Paste"),
            detail=f"{sanitise(start)}\n…", dangerous=False,
        )  # fmt: skip
        if await self._view.app.push_screen_wait(question):
            self._composer.input.insert_text(text)

    def divide(self, text: str) -> None:
        """Ask what becomes of a text that is too long for one message.

        A command can't be sent as several messages: its text may be for one person only.
        """
        limit, composer = self._composer.text_limit, self._composer
        parts = [] if commands.is_command(text) else divided(commands.plain(text), limit)
        title = _(
            "Too long for one message: {n} characters; the limit is {limit}", n=len(text),
            limit=limit,
        )  # fmt: skip
        choices = {"editor": _("Continue in the editor"), "clear": _("Clear the field")}
        if parts:
            send = ngettext("Send it as {n} message", "Send it as {n} messages", len(parts))
            choices = {"send": send, **choices}

        def chosen(key: str | None) -> None:
            match key:
                case "send" if isinstance(composer.mode, Editing):
                    refusal = _("An edited message can't be split.")
                    self._view.app.notify(refusal, severity="warning", markup=False)
                case "send" if closed := self._closed(composer.conv):
                    self._controller.report(closed)
                case "send":
                    self._send_parts(parts)
                case "editor":
                    self.open_editor()
                case "clear":
                    composer.input.action_clear()
                case _:
                    pass

        self._view.app.push_screen(ActionMenu(title, choices), chosen)

    def _send_parts(self, parts: list[str]) -> None:
        composer = self._composer
        reply_to = composer.mode.seq if composer.mode is not None else None
        composer.leave_mode()
        composer.input.write("")
        for number, part in enumerate(parts):
            if not self._controller.send(composer.conv, part, reply_to=reply_to):
                self._write_again("\n".join(parts[number:]))
                break
            reply_to = None
        self._view.keep_draft()
        self._view.go_to_now()

    def open_editor(self) -> None:
        """Go on writing in the person's editor."""
        self._controller.spawn(self._use_editor(), "editor")

    async def _use_editor(self) -> None:
        with self._view.chat_app.hold_keys():
            text = await edit_text(self._view.app, self._composer.input.text)
            if text is not None:
                self._composer.input.write(text)
