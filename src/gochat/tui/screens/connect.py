"""The first screen: which server, who, and a password."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Button, Input, Static

from gochat.client.address import Security
from gochat.errors import ChatError, ConfigError, ErrorCode, GochatError
from gochat.tui.actions.session import Credentials
from gochat.tui.input.typable import typable
from gochat.tui.language import N_, _, pgettext
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.presentation import sentence
from gochat.tui.profile import addresses
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.field import Field

#: Which field shows an error that names none.
_FIELDS: Final = {
    ErrorCode.BAD_CREDENTIALS: "password",
    ErrorCode.BAD_PASSWORD: "password",
    ErrorCode.BAD_NAME: "name",
    ErrorCode.NAME_TAKEN: "name",
    ErrorCode.BAD_INVITE: "invite",
}

_PLAIN_TEXT: Final = N_("Not encrypted: others on the network can read it all, your password, too.")


class ConnectScreen(Screen[None]):
    """Asks for server, name and password; shows beside the field what was wrong with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
        Binding("escape", "cancel", show=False),
    ]

    AUTO_FOCUS = ""  # see on_mount

    class Submitted(Message):
        """The person wants to connect."""

        def __init__(self, credentials: Credentials) -> None:
            super().__init__()
            self.credentials = credentials

    class Cancelled(Message):
        """The person no longer wants to wait."""

    def __init__(
        self, server: str, name: str = "", *, notice: str = "", has_account: bool = False
    ) -> None:
        super().__init__()
        self._server, self._known_name, self._notice = server, name, notice
        self._has_account = has_account
        self._registering = False

    def compose(self) -> ComposeResult:
        """One card in the middle."""
        with VerticalScroll(id="connect", can_focus=False), Vertical(id="card"):
            yield Static("gochat", id="title")
            yield Static(_("Chat with the people on your server."), id="subtitle", markup=False)
            yield Field("server", _("Server"), addresses.shorten(self._server))
            yield Field("name", pgettext("of an account", "Name"), typable(self._known_name))
            yield Field("password", _("Password"), password=True)
            again = Field("again", _("Password again"), password=True)
            again.display = False
            yield again
            invite = Field("invite", _("Invite code"))
            invite.display = False
            yield invite
            with Horizontal(id="buttons"):
                yield Button(_("Log in"), id="log-in", compact=True, variant="primary")
                yield Button(_("Create account"), id="register", compact=True)
            yield Static(self._notice, id="notice", markup=False)
        keys = _("Enter go on   Tab next field   Ctrl+Q quit")
        yield Static(keys, id="connect-keys", markup=False)

    def on_mount(self) -> None:
        """Begin in the first field that is to be filled in."""
        self.query_one("#password" if self._known_name else "#name", Input).focus()

    # -- what the app shows -----------------------------------------------------------------------

    def show_progress(self, text: str) -> None:
        """Show what is being waited for; nothing can be changed meanwhile."""
        self._clear()
        self._say(text, "-busy")
        self.query_one("#card").add_class("-waiting")
        for button in self.query(Button):
            button.disabled = True

    def show_error(self, error: GochatError) -> None:
        """Show what is wrong, beside the field that it is about."""
        self._clear()
        field = "server"
        text = sentence(error_text(error))
        if isinstance(error, ChatError):
            field = error.field or _FIELDS.get(ErrorCode(error.code), "") if _known(error) else ""
            if error.code == ErrorCode.BAD_CREDENTIALS and not self._has_account:
                text += " " + _("New here? Choose “Create account”.")
            if error.code == ErrorCode.NAME_TAKEN:
                text += " " + _("If it is you, log in.")
            if error.code == ErrorCode.BAD_TOKEN:
                field, text = "password", _("Your session has ended. Please log in again.")
            if error.code == ErrorCode.BAD_INVITE:
                field = "invite"
        self._wrong(field, text)

    def _wrong(self, field: str, text: str) -> None:
        matches = self.query(f"#field-{field}") if field else None
        if not matches:
            self._say(one_line(text), "-bad")
            self.query_one("#password", Input).focus()
            return
        wrong = matches.first(Field)
        wrong.display = True
        wrong.show_error(one_line(text))
        wrong.input.focus()

    def _clear(self) -> None:
        self.query_one("#card").remove_class("-waiting")
        for field in self.query(Field):
            field.show_error("")
        self._warn_of_plain_text()
        for button in self.query(Button):
            button.disabled = False
        self._say("")

    def _say(self, text: str, kind: str = "") -> None:
        notice = self.query_one("#notice", Static)
        notice.set_classes(kind)
        notice.update(text)

    # -- what the person does ---------------------------------------------------------------------

    @on(Input.Changed, "#server")
    def _warn_of_plain_text(self) -> None:
        """Warn before a password is typed."""
        try:
            server = self.query_one("#server", Input).value
            is_plain = addresses.security(server) is Security.PLAIN_TEXT
        except ConfigError:  # not written to its end yet
            is_plain = False
        self.query_one("#field-server", Field).show_error(_(_PLAIN_TEXT) if is_plain else "")

    @on(Input.Submitted)
    def _enter(self, event: Input.Submitted) -> None:
        event.stop()
        empty = [
            field.input
            for field in self.query(Field)
            if field.display and not field.input.value and field.id != "field-invite"
        ]
        if empty and event.input not in empty:
            empty[0].focus()
        elif empty:
            self.screen.focus_next()
        else:
            self._submit(register=self._registering)

    @on(Button.Pressed, "#log-in")
    def _log_in(self) -> None:
        self._set_registering(on=False)
        self._submit(register=False)

    @on(Button.Pressed, "#register")
    def _register(self) -> None:
        was, before = self._registering, self.query_one("#again", Input).value
        self._set_registering(on=True)
        if not was and not before and self.query_one("#password", Input).value:
            self.query_one("#again", Input).focus()  # a typing error here would lock them out
        else:
            self._submit(register=True)

    def _set_registering(self, *, on: bool) -> None:
        if on is not self._registering:
            self._clear()  # what was wrong with the other form
        self._registering = on
        self.query_one("#field-again", Field).display = on
        self.query_one("#register", Button).variant = "primary" if on else "default"
        self.query_one("#log-in", Button).variant = "default" if on else "primary"

    def _submit(self, *, register: bool) -> None:
        if self.query_one("#card").has_class("-waiting"):
            return
        self._clear()
        server, name, password, again, invite = (
            self.query_one(f"#{field}", Input).value
            for field in ("server", "name", "password", "again", "invite")
        )
        if not server.strip():
            self._wrong("server", _("Which server? On this machine it is 127.0.0.1:8889."))
        elif not name.strip():
            self._wrong("name", _("What should the others call you?"))
        elif not password:
            self._wrong(
                "password", _("Please choose one.") if register else _("Please type it in.")
            )
        elif register and password != again:
            self._wrong(
                "again",
                _("This is not the same as above.") if again else _("Once more, please."),
            )
        else:
            try:
                url = self._url(server.strip())
            except ConfigError as error:
                self._wrong("server", sentence(error_text(error)))
                return
            self.post_message(
                self.Submitted(
                    Credentials(url, name.strip(), password, register, invite.strip() or None)
                )
            )

    def _url(self, server: str) -> str:
        # The shown address of the user's own server lacks the key file that proves it.
        if server == addresses.shorten(self._server):
            return self._server
        return addresses.complete(server)

    def action_cancel(self) -> None:
        """Stop waiting."""
        if self.query_one("#card").has_class("-waiting"):
            self._clear()
            self.post_message(self.Cancelled())


def _known(error: ChatError) -> bool:
    return error.code in set(ErrorCode)
