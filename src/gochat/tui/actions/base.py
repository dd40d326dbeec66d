"""What all actions of a chat screen have: its view, its model, and ways to ask and to wait."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from textual.widget import AwaitMount

from gochat.client import GochatError
from gochat.tui.actions.controller import Controller
from gochat.tui.actions.view import ChatView
from gochat.tui.dialogs.picker import Picker
from gochat.tui.dialogs.pickers import ListMenu
from gochat.tui.language import _
from gochat.tui.model.presentation import status_line
from gochat.tui.text.sanitise import one_line

T = TypeVar("T")


class Actions:
    """The base of the classes that do what a person asks for."""

    def __init__(self, view: ChatView, controller: Controller) -> None:
        self._view = view
        self._controller = controller
        self._model = controller.model
        self._client = controller.client

    @property
    def conv(self) -> str:
        """The conversation that is shown."""
        return self._model.current

    def _status_of(self, name: str) -> str:
        """Return somebody's status in words, empty if there is none."""
        said = self._model.status_of(name)
        return "" if said is None else status_line(said, self._model.wall_clock())

    def notify(self, text: str) -> None:
        """Show the person a notification."""
        self._view.app.notify(text, markup=False)

    def _do(
        self,
        work: Coroutine[Any, Any, Any],
        then: Callable[[], None] | None = None,
        what: str = "",
    ) -> None:
        self._controller.do(work, then, what)

    async def _answer(self, work: Coroutine[Any, Any, T], what: str = "") -> T:
        """Return the server's answer, and show that it is waited for if that takes long."""
        with self._controller.waiting(what):
            return await work

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task that opens a dialog and waits for its answer."""
        self._controller.spawn(work)

    def _open(self, panel: Picker, then: Callable[[str], None]) -> AwaitMount:
        """Open a picker at once, since the next key is meant for it; `then` gets the choice."""

        def chosen(key: str | None) -> None:
            if key is not None:
                then(key)

        return self._view.app.push_screen(panel, chosen)

    def _open_list(
        self, title: str, empty: str, work: Coroutine[Any, Any, dict[str, str]],
        then: Callable[[str], None], refusal: Callable[[], str] = lambda: "",
    ) -> None:  # fmt: skip
        """Open a list at once, and show in it what `work` returns, or that it is `empty`.

        Not when the answer is there: by then the person may be typing something else, and would
        choose with it what nobody should. `refusal` as in :class:`ListMenu`.
        """
        menu = ListMenu(title, empty, refusal)
        opened = self._open(menu, then)

        async def load() -> None:
            try:
                found = await work
            except GochatError:
                await opened  # without a connection, the answer is there sooner
                menu.answer(None)
                raise
            menu.show_actions(found)

        self._controller.spawn(load())

    def _load(self, work: Coroutine[Any, Any, T], then: Callable[[T], None]) -> None:
        """Request what an open picker shows."""

        async def load() -> None:
            then(await work)

        self._controller.spawn(load())

    def _is_room(self) -> bool:
        if self._model.shown.is_room:
            return True
        self.notify(_("This is not a room: that is only for rooms."))
        return False

    def _may(self, refusal: str, *, is_of_operators: bool = False) -> bool:
        """Return whether the person may do what operators of the shown room may; say so if not,
        with the message `refusal`, whose value is the ``room``.

        `is_of_operators`: moderators of the server may not. Asked before a question is: nobody
        confirms what is then refused.
        """
        view = self._model.shown
        if view.operator or (view.operates and not is_of_operators):
            return True
        self.notify(_(refusal, room=one_line(self.conv)))
        return False

    def _spelled(self, person: str) -> str:
        """Return a name as its owner writes it, as far as that is known here."""
        return self._model.spelled(f"@{person.lstrip('@')}")[1:]
