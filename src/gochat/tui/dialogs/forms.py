"""Small forms over the chat: a new room, a new password, logging in again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Generic, Literal, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Checkbox, Input, Static

from gochat.tui.dialogs.panel import Panel
from gochat.tui.input import commands
from gochat.tui.language import N_, _
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.field import Field

T = TypeVar("T")


class Form(Panel[T], Generic[T]):
    """Fields, and below them two buttons. Returns the values of the fields, or None.

    `heading` and `done`, the word on the first button, are messages.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    box: ClassVar[str] = "form"
    heading: ClassVar[str] = ""
    done: ClassVar[str] = ""
    #: Further buttons, by their ids; their words are messages, too.
    others: ClassVar[dict[str, str]] = {}

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """One box in the middle."""
        with Vertical(id="form"):
            yield Static(_(self.heading), id="form-title", markup=False)
            if self._text:
                yield Static(self._text, id="form-text", markup=False)
            yield from self.fields()
            with Horizontal(id="form-buttons"):
                yield Button(_(self.done), id="done", compact=True, variant="primary")
                for name, label in self.others.items():
                    yield Button(_(label), id=name, compact=True)
                yield Button(_("Cancel"), id="cancel", compact=True)

    def fields(self) -> ComposeResult:
        """Yield the fields."""
        yield from ()

    def read(self) -> T | None:
        """Return the values of the fields, or None after showing what is wrong."""
        raise AssertionError("each form reads its fields")

    def value(self, field: str) -> str:
        """Return the value of a field."""
        return self.query_one(f"#{field}", Input).value

    def wrong(self, field: str, text: str) -> None:
        """Show what is wrong with a field."""
        for other in self.query(Field):
            other.show_error("")
        wrong = self.query_one(f"#field-{field}", Field)
        wrong.show_error(one_line(text))
        wrong.input.focus()

    @on(Input.Submitted)
    def _enter(self, event: Input.Submitted) -> None:
        event.stop()
        fields = [field.input for field in self.query(Field)]
        after = fields[fields.index(event.input) + 1 :]
        empty = [field for field in after if not field.value]
        if empty and event.input.value:
            empty[0].focus()
        else:
            self.action_done()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "done":
            self.action_done()
        elif event.button.id in self.others:
            self.other(event.button.id)
        else:
            self.action_cancel()

    def other(self, button: str) -> None:
        """Do what a further button is for."""

    def action_done(self) -> None:
        """Close with the values of the fields, if they are valid."""
        if (result := self.read()) is not None:
            self.answer(result)


@dataclass(frozen=True, slots=True)
class NewRoom:
    """A room to be created."""

    room: str
    topic: str
    private: bool


class RoomForm(Form[NewRoom]):
    """Asks for a new room's name, topic, and who may join."""

    heading: ClassVar[str] = N_("A new room")
    done: ClassVar[str] = N_("Create")

    def __init__(self, name: str = "", text: str = "") -> None:
        super().__init__(text)
        self._name_text = name

    def fields(self) -> ComposeResult:
        """Yield the fields."""
        yield Field("room", _("Name"), self._name_text)
        yield Field("topic", _("Topic (can be empty)"))
        yield Checkbox(_("Private: by invitation only"), id="private", compact=True)

    def read(self) -> NewRoom | None:
        """Return the room."""
        room = self.value("room").strip().lstrip("#")
        if not room:
            self.wrong("room", _("A room needs a name."))
            return None
        private = self.query_one("#private", Checkbox).value
        return NewRoom(f"#{room}", self.value("topic").strip(), private)


class RestrictForm(Form[tuple[timedelta | None, str]]):
    """Asks for how long somebody is restricted at the server, and why.

    Returns the time, None until it is lifted, and the reason, which can be empty.
    """

    def fields(self) -> ComposeResult:
        """Yield the fields."""
        yield Field("time", _("How long: 30m, 2h, 7d; empty: until it is lifted"), "1d")
        yield Field("reason", _("Why, for them to read (can be empty)"))

    def read(self) -> tuple[timedelta | None, str] | None:
        """Return the time and the reason."""
        text = self.value("time").strip()
        time = commands.duration(text)
        if text and time is None:
            self.wrong("time", _("Please write a time as 30m, 2h or 7d."))
            return None
        return time, self.value("reason").strip()


class BanForm(RestrictForm):
    """Asks for a ban from the server."""

    heading: ClassVar[str] = N_("Ban from the server")
    done: ClassVar[str] = N_("Ban")


class MuteForm(RestrictForm):
    """Asks for a mute."""

    heading: ClassVar[str] = N_("Mute")
    done: ClassVar[str] = N_("Mute")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is done about a report: it is resolved with a `note`; or somebody is restricted first,
    and the note is kept; or it is left open, and the message is shown where it was written."""

    act: Literal["resolve", "mute", "ban", "show"]
    note: str


class ResolveForm(Form[Resolution]):
    """Shows a report, and asks what came of it. The note can be empty.

    `can_show`: the person can read the messages where they were written, to delete one there.
    `obstacle` returns why it can't be resolved any more, or nothing: others may have done it.
    """

    heading: ClassVar[str] = N_("A report")
    done: ClassVar[str] = N_("Resolve")
    others: ClassVar[dict[str, str]] = {
        "mute": N_("Mute…"),
        "ban": N_("Ban…"),
        "show": N_("Go to it"),
    }

    def __init__(
        self, text: str, note: str = "", *, can_show: bool, obstacle: Callable[[], str]
    ) -> None:
        super().__init__(text)
        self._note, self._can_show, self._obstacle = note, can_show, obstacle
        self._shown = ""

    def on_mount(self) -> None:
        """Leave out what can't be done."""
        self.query_one("#show").display = self._can_show
        self.look()

    def look(self) -> None:
        """Say so if the report can't be resolved any more."""
        if (text := self._obstacle()) != self._shown:
            self._shown = text
            self.query_one("#field-note", Field).show_error(text)

    def fields(self) -> ComposeResult:
        """Yield the field."""
        yield Field("note", _("What came of it (can be empty)"), self._note)

    def read(self) -> Resolution:
        """Return the resolution."""
        return Resolution("resolve", self.value("note").strip())

    def other(self, button: str) -> None:
        """Close to do something else first."""
        note = self.value("note").strip()
        match button:
            case "mute" | "ban" | "show" as act:
                self.answer(Resolution(act, note))
            case _:
                raise AssertionError(button)


class PasswordForm(Form[tuple[str, str]]):
    """Asks for the old password and twice for the new one."""

    heading: ClassVar[str] = N_("Change your password")
    done: ClassVar[str] = N_("Change")

    def fields(self) -> ComposeResult:
        """Yield the fields."""
        yield Field("old", _("Old password"), password=True)
        yield Field("new", _("New password"), password=True)
        yield Field("again", _("New password again"), password=True)

    def read(self) -> tuple[str, str] | None:
        """Return the old and the new one."""
        old, new = self.value("old"), self.value("new")
        if not old:
            self.wrong("old", _("Please type it in."))
        elif not new:
            self.wrong("new", _("Please choose one."))
        elif new != self.value("again"):
            self.wrong("again", _("This is not the same as above."))
        else:
            return old, new
        return None


class LogInAgain(Form[str]):
    """Asks for the password when the session has ended; what is on the screen stays."""

    heading: ClassVar[str] = N_("Please log in again")
    done: ClassVar[str] = N_("Log in")

    def fields(self) -> ComposeResult:
        """Yield the field."""
        yield Field("password", _("Password"), password=True)

    def read(self) -> str | None:
        """Return the password."""
        password = self.value("password")
        if not password:
            self.wrong("password", _("Please type it in."))
        return password or None
