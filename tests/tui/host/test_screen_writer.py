"""The terminal shows what was drawn, whatever it showed before, and is sent little for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pilots import OpenApp, settle
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style

from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.host.screen_writer import ScreenWriter
from gochat.tui.host.thrifty_app import pieces
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.text.wrap import clusters

WIDTH, HEIGHT = 16, 2
_TOKEN = re.compile(r"\x1b\[(\d+);(\d+)H|\x1b\[([\d;]*)m|\x1b\]8;[^;]*;([^\x1b]*)\x1b\\|[^\x1b]+")


class Terminal:
    """As much of a terminal as is written to."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, frozenset[str]]] = {}
        self._at = (0, 0)
        self._style: dict[str, str] = {}

    def feed(self, data: str) -> None:
        for found in _TOKEN.finditer(data):
            row, column, codes, link = found.groups()
            if row is not None:
                self._at = int(row) - 1, int(column) - 1
            elif codes is not None:
                self._turn(codes)
            elif link is not None:
                self._style["link"] = link
            else:
                self._put(found.group())
        assert not any(self._style.values()), "the next update begins without a style"

    def _turn(self, codes: str) -> None:
        for code in re.findall(r"[34]8;2;\d+;\d+;\d+|\d+", codes):
            match code:
                case "0":
                    link = self._style.get("link", "")
                    self._style = {"link": link}
                case "22":
                    self._style |= {"1": "", "2": ""}
                case "23" | "24" | "27":
                    self._style[code[1]] = ""
                case "39" | "49":
                    self._style[code[0] + "x"] = ""  # "3" and "4" are attributes
                case _ if code[0] in "34" and len(code) > 1:
                    self._style[code[0] + "x"] = code
                case _:
                    self._style[code] = code

    def _put(self, text: str) -> None:
        look = frozenset(value for value in self._style.values() if value)
        row, column = self._at
        for start, end, width in clusters(text):
            self.cells[row, column] = text[start:end], look
            for more in range(1, width):
                self.cells[row, column + more] = "", look
            column += width
        self._at = row, column


_STYLES = [
    Style(), Style(bold=True), Style(dim=True, italic=True), Style(reverse=True, underline=True),
    Style(color="#ff0000"), Style(color="#00ff00", bgcolor="#0000ff"), Style(bgcolor="#222222"),
    Style(color="#ff0000", bold=True, link="https://x.org/"),
]  # fmt: skip
_ROW = st.lists(
    st.tuples(
        st.sampled_from(["a", "bc", " ", "你", "👩‍💻", "🎉", "❤️", "é"]), st.sampled_from(_STYLES)
    ),
    max_size=8,
).map(lambda pieces: _padded([Segment(text, style) for text, style in pieces]))


def _padded(segments: Sequence[Segment]) -> list[Segment]:
    used = sum(cluster.cells for segment in segments for cluster in clusters(segment.text))
    return [*segments, Segment(" " * (WIDTH - used), Style())] if used <= WIDTH else [
        Segment("x" * WIDTH, Style())
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, HEIGHT - 1), _ROW), max_size=8))
@example([(0, _padded([Segment("a", _STYLES[4]), Segment("a", _STYLES[2])]))])
def test_what_is_shown_is_what_was_drawn(updates: list[tuple[int, list[Segment]]]) -> None:
    terminal, writer = Terminal(), ScreenWriter(WIDTH, HEIGHT, ColorSystem.TRUECOLOR)
    for y, row in updates:
        terminal.feed(writer.write([(0, y, row)]))
        whole = Terminal()
        whole.feed(ScreenWriter(WIDTH, HEIGHT, ColorSystem.TRUECOLOR).write([(0, y, row)]))
        for x in range(WIDTH):
            assert terminal.cells[y, x] == whole.cells[y, x]


def test_what_is_there_already_is_not_written() -> None:
    writer = ScreenWriter(WIDTH, HEIGHT, ColorSystem.TRUECOLOR)
    row = [Segment("one two", Style(bold=True))]
    assert writer.write([(0, 0, row)])
    assert writer.write([(0, 0, row)]) == ""
    assert writer.write([(4, 0, [Segment("twi", Style(bold=True))])]) == "\x1b[1;7H\x1b[1mi\x1b[0m"


def test_a_row_on_whose_width_terminals_disagree_is_written_whole() -> None:
    writer = ScreenWriter(WIDTH, HEIGHT, None)
    writer.write([(0, 0, [Segment("🎉 one two")])])
    assert writer.write([(0, 0, [Segment("🎉 one twi")])]) == "\x1b[1;1H🎉 one twi"


def test_without_colours_there_are_attributes_only() -> None:
    writer = ScreenWriter(WIDTH, HEIGHT, None)
    style = Style(color="red", bgcolor="blue", bold=True)
    assert writer.write([(0, 0, [Segment("a", style)])]) == "\x1b[1;1H\x1b[1ma\x1b[0m"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("keys", "most"), [(["ctrl+k"], 18_000), (["f5"], 18_000), (["up"], 2_500), (["a"], 100)]
)
async def test_what_a_key_costs_is_bounded(
    open_app: OpenApp, client: ScriptedClient, keys: list[str], most: int
) -> None:
    """Before, Ctrl+K cost 80 kB, F5 100 and ↑ 22: at 100 kbit/s up to 8 s."""
    for number in range(30):
        client.record(
            "#lobby", "mei", f"line **{number}** of `what` was said https://x.org/{number}"
        )
    async with open_app((120, 40)) as pilot:
        writer = ScreenWriter(120, 40, ColorSystem.TRUECOLOR)

        def write() -> str:
            strips = pilot.app.screen._compositor.render_strips()
            return writer.write([(0, y, list(strip)) for y, strip in enumerate(strips)])

        await settle(pilot)
        write()
        await pilot.press(*keys)
        await settle(pilot)
        there = len(write())
        assert 0 < there < most
        await pilot.press("escape")
        await settle(pilot)
        assert len(write()) < most


@pytest.mark.anyio
async def test_all_is_drawn_again_when_asked_for(open_app: OpenApp) -> None:
    """Another program may have written over it, as `wall` does."""
    async with open_app((80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, GochatApp)
        await settle(pilot)
        known = app.screen_writer
        await pilot.press("ctrl+l")
        await settle(pilot)
        assert app.screen_writer is not known


@pytest.mark.anyio
async def test_a_part_that_is_drawn_again_leaves_what_is_beside_it(open_app: OpenApp) -> None:
    """The header was blank after somebody came online, until it was drawn for something else."""
    async with open_app((80, 24)) as pilot:
        app, screen = pilot.app, pilot.app.screen
        assert isinstance(app, GochatApp)
        assert isinstance(screen, ChatScreen)
        await settle(pilot)
        compositor, writer = screen._compositor, app.screen_writer
        writer.write([(0, y, list(strip)) for y, strip in enumerate(compositor.render_strips())])
        for part in (screen.side.conversations, screen.side.people, screen.header):
            part.refresh()
            compositor.update_widgets({part})
            update = compositor.render_partial_update()
            assert update is not None
            assert writer.write(pieces(update)) == ""
