"""The app, as far as the terminal goes: it writes only what the terminal does not show yet."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Final

from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.segment import Segment
from textual import events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.screen import Screen

from gochat.tui.host import multiplexers, tmux
from gochat.tui.host.screen_writer import ScreenWriter
from gochat.tui.profile.themed_app import ThemedApp

_COLOURS: Final = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.WINDOWS,
}


class ThriftyApp(ThemedApp):
    """An app for slow links."""

    def __init__(self) -> None:
        super().__init__()
        self._screen_writer: ScreenWriter | None = None
        self._is_clipboard_known = False

    @property
    def screen_writer(self) -> ScreenWriter:
        """What knows the terminal's screen; a new one after it may have changed by itself."""
        width, height = self.size
        writer = self._screen_writer
        if writer is None or (writer.width, writer.height) != (width, height):
            name = self.console.color_system
            colours = None if self.no_color or name is None else _COLOURS[name]
            writer = self._screen_writer = ScreenWriter(width, height, colours)
        return writer

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by OSC 52, which goes through ssh, too; in tmux by tmux, which may ignore that.

        What there is to know of this terminal's clipboard is said with the first copy.
        """
        super().copy_to_clipboard(text)
        if self.is_headless or self._driver is None:
            return
        if tmux.is_inside():
            self.run_worker(lambda: self._copy_by_tmux(text), thread=True, exit_on_error=False)
        elif os.environ.get("STY"):
            encoded = base64.b64encode(text.encode()).decode()
            self._driver.write(multiplexers.in_screen(f"\x1b]52;c;{encoded}\a"))
        self._warn_of_clipboard(multiplexers.clipboard_problem())

    def _copy_by_tmux(self, text: str) -> None:
        if problem := tmux.copy(text):
            self.call_from_thread(self._warn_of_clipboard, problem)

    def _warn_of_clipboard(self, problem: str) -> None:
        if problem and not self._is_clipboard_known:
            self._is_clipboard_known = True
            self.notify(problem, severity="warning", markup=False, timeout=10)

    def forget_screen(self) -> None:
        """Take the terminal's screen for unknown: something else may have written to it."""
        self._screen_writer = None

    def action_redraw(self) -> None:
        """Draw the whole screen again: another program has written over it."""
        self.forget_screen()
        self.screen.refresh(layout=True)

    async def on_mount(self) -> None:
        """Write everything again after an editor or the shell had the terminal."""
        self.app_resume_signal.subscribe(self, lambda _: self.forget_screen(), immediate=True)

    def on_resize(self, event: events.Resize) -> None:
        """Write everything again: terminals reflow in ways of their own."""
        self.forget_screen()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        # Textual has no public way between what it draws and the terminal.
        if isinstance(renderable, LayoutUpdate | ChopsUpdate):
            super()._display(screen, _Difference(renderable, self))  # type: ignore[arg-type]  # as what it stands for
        else:
            super()._display(screen, renderable)


class _Difference(CompositorUpdate):
    """An update, of which only what differs is written."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, app: ThriftyApp) -> None:
        self._update, self._app = update, app

    def render_segments(self, console: Console) -> str:
        """Return what is to be written."""
        return self._app.screen_writer.write(pieces(self._update))


def pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, list[Segment]]]:
    """Yield what an update draws: column, row and segments of each piece."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            yield update.region.x, y, [segment for strip in strips for segment in strip]
        return
    for y, first, last in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            # What begins where a span ends is not of it: only what lies below it may be drawn.
            if strip is not None and x < last and end > first:
                yield x, y, list(strip)
