"""The chat log as a widget of Textual's line API.

Long because it is the widget's whole face: what apps call, what Textual calls, keys and the mouse.
What they do is in the model, the window and the painter, which know neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import ClassVar, Final, TypeAlias, overload

from rich.text import Text
from textual import events
from textual.actions import SkipAction
from textual.await_remove import AwaitRemove
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from gochat.tui.chat_log import events as log_events
from gochat.tui.chat_log.frame import FramePainter, Marks
from gochat.tui.chat_log.index import ItemNode
from gochat.tui.chat_log.items import Clock, LogItem, LogMessage
from gochat.tui.chat_log.message_actions import MESSAGE_ACTIONS, ActionName
from gochat.tui.chat_log.model import Items, LogModel
from gochat.tui.chat_log.paint import Palette
from gochat.tui.chat_log.palette import COMPONENT_CLASSES, STYLES, new_palette
from gochat.tui.chat_log.selecting import Step, TextSelector
from gochat.tui.chat_log.tips import tip
from gochat.tui.chat_log.window import VisibleRow

#: Rows that stay visible when a page is turned, for the eye to find its place.
_OVERLAP: Final = 2
#: Seconds for which the target of a jump is marked.
_HIGHLIGHT: Final = 2.0


class ChatLog(ScrollView, can_focus=True, inherit_bindings=False):
    """Messages and notices, oldest first. Its docs are in docs/explanation/chat-log.md.

    Keys act on it while it has the focus, which a click doesn't give: after selecting
    text or following a link, a person goes on writing.
    """

    FOCUS_ON_CLICK = False
    DEFAULT_CSS = STYLES
    COMPONENT_CLASSES: ClassVar[set[str]] = set(COMPONENT_CLASSES)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "select_previous", "Previous message", show=False),
        Binding("down,j", "select_next", "Next message", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "scroll_home", "Oldest", show=False),
        Binding("end", "scroll_end", "Now", show=False),
        Binding("escape", "leave", "Back", show=False),
        *(
            Binding(",".join(action.keys), action.run, action.label, id=action.id)
            for action in MESSAGE_ACTIONS
        ),
        Binding("ctrl+a", "extend('all')", "Select the text", show=False),
        Binding("shift+left", "extend('left')", "Select text", show=False),
        Binding("shift+right", "extend('right')", "Select text", show=False),
        Binding("ctrl+shift+left", "extend('word_left')", "Select text by words", show=False),
        Binding("ctrl+shift+right", "extend('word_right')", "Select text by words", show=False),
        Binding("shift+up", "extend('up')", "Select text by rows", show=False),
        Binding("shift+down", "extend('down')", "Select text by rows", show=False),
        Binding("shift+home", "extend('home')", "Select to the row's start", show=False),
        Binding("shift+end", "extend('end')", "Select to the row's end", show=False),
    ]

    TopReached: TypeAlias = log_events.TopReached
    BottomReached: TypeAlias = log_events.BottomReached
    Action: TypeAlias = log_events.Action
    LinkActivated: TypeAlias = log_events.LinkActivated
    SenderClicked: TypeAlias = log_events.SenderClicked
    ReactionClicked: TypeAlias = log_events.ReactionClicked
    SelectionChanged: TypeAlias = log_events.SelectionChanged

    def __init__(
        self,
        *,
        zone: tzinfo | None = None,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # the name Textual gives it
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._model = LogModel(zone)
        self._selector = TextSelector(self._model)
        self._palette: Palette | None = None
        self._painter = FramePainter(self._model, self._selector)
        self._selected: str | None = None
        self._hovered: str | None = None
        self._mouse_row: int | None = None
        self._highlighted: str | None = None
        self._highlight_timer: Timer | None = None
        self._publishing = False
        self._fitted = Size(0, 0)  # the size that the model knows
        self._frame: list[Strip] | None = None  # all that is visible, painted
        self._framed: list[VisibleRow] = []  # and of which rows it is
        self._older_exhausted = False
        self._asked_older = False
        self._was_at_end = True

    # What it shows

    @property
    def items(self) -> Mapping[str, LogItem]:
        """The items by key, in their order."""
        return Items(self._model)

    @property
    def older_exhausted(self) -> bool:
        """Whether nothing older exists: then `TopReached` isn't posted."""
        return self._older_exhausted

    @older_exhausted.setter
    def older_exhausted(self, exhausted: bool) -> None:
        if exhausted != self._older_exhausted:
            self._older_exhausted = exhausted
            self._asked_older = False
            self._changed()

    @property
    def newer_exhausted(self) -> bool:
        """Whether the last item is the newest there is. If not, the end isn't stuck to."""
        return self._model.window.live

    @newer_exhausted.setter
    def newer_exhausted(self, exhausted: bool) -> None:
        if exhausted != self._model.window.live:
            self._model.window.live = exhausted
            self._was_at_end = False
            self._changed()

    def append(self, *items: LogItem) -> None:
        """Add items at the end; one whose key is there already replaces it in its place."""
        self._model.append(items)
        self._changed()

    def prepend(self, items: Sequence[LogItem]) -> None:
        """Add older items, oldest first. What is visible stays where it is."""
        self._model.prepend(items)
        self._asked_older = False
        self._changed()

    def insert_before(self, key: str, *items: LogItem) -> None:
        """Add items right before `key`; at the end if that isn't there (any more)."""
        following = self._model.get(key)
        if following is None:
            self._model.append(items)
        else:
            self._model.insert_before(following, items)
        self._changed()

    def replace(self, key: str, item: LogItem) -> None:
        """Put `item` in the place of `key`; does nothing if that isn't there (any more)."""
        node = self._model.get(key)
        if node is None:
            return
        self._model.replace(node, item)
        if self._selected == key:
            self._selected = item.key
        self._changed()

    @overload
    def remove(self) -> AwaitRemove: ...
    @overload
    def remove(self, key: str) -> None: ...
    def remove(self, key: str | None = None) -> AwaitRemove | None:
        """Remove an item, if it is there; without a key, the widget, as every widget does."""
        if key is None:
            return super().remove()
        if (node := self._model.get(key)) is not None:
            self._model.remove(node)
            if self._selected == key:
                self._select(None)
            self._changed()
        return None

    def reset(self, items: Iterable[LogItem] = ()) -> None:
        """Begin again with `items`, oldest first, at the end: another conversation."""
        if self.is_mounted and self.text_selection is not None:
            self.screen.clear_selection()
        self._select(None)
        self._model.reset(items)
        self._painter.forget()
        self._highlighted = None
        self._asked_older = self._was_at_end = False
        self._changed()

    def set_unread_after(self, key: str | None) -> None:
        """Show the divider between `key` and what came after it, or none."""
        self._model.set_unread_after(key)
        self._changed()

    def set_clock(self, clock: Clock) -> None:
        """Show the times of messages in another way."""
        self._model.set_clock(clock)
        self._repaint()
        self._changed()

    def renew(self, items: Iterable[LogItem]) -> None:
        """Show `items` in the places of those with their keys, and all texts in the language that
        is in use now. What is visible stays where it is."""
        self._model.renew(items)
        self._repaint()
        self._changed()

    def set_theme_colours(self) -> None:
        """Take the colours from the theme again. It does so itself when the theme changes."""
        self._palette = None
        self._repaint()

    # Where it is

    @property
    def at_bottom(self) -> bool:
        """Whether the last row is visible."""
        return self._model.window.at_end

    @property
    def new_below(self) -> int:
        """How many messages of others came below while the reader was further up."""
        return self._model.unseen

    def scroll_to_bottom(self) -> None:
        """Go to now, and stay there."""
        self._model.window.to_end()
        self._changed()

    def scroll_to_key(self, key: str, *, highlight: bool = False) -> bool:
        """Bring an item into view, a third from the top; return whether it is there.

        With `highlight` it is marked for two seconds.
        """
        node = self._model.get(key)
        if node is None:
            return False
        self._fit()
        self._model.window.show_at(node, 0, self._model.window.height // 3)
        if highlight:
            self._highlighted = key
            if self._highlight_timer is not None:
                self._highlight_timer.stop()
            self._highlight_timer = self.set_timer(_HIGHLIGHT, self._end_highlight)
        self._changed()
        return True

    def _end_highlight(self) -> None:
        self._highlighted = None
        self._repaint()

    # The selected message

    @property
    def selected_key(self) -> str | None:
        """The key of the message that the keys act on."""
        return self._selected

    @property
    def selected_keys(self) -> list[str]:
        """The keys of the messages of which text is selected, and of the selected one, in order."""
        selection = self.text_selection
        nodes = [] if selection is None else self._selector.nodes(selection)
        if (node := self._node(self._selected)) is not None and node not in nodes:
            nodes.append(node)
        nodes.sort(key=lambda node: node.order)
        return [node.item.key for node in nodes if isinstance(node.item, LogMessage)]

    def select_previous(self) -> None:
        """Select the message above, or the last visible one if none is selected."""
        self._fit()
        node = self._node(self._selected)
        if node is not None:
            above = node.previous
        else:
            rows = self._model.window.rows()
            above = rows[-1].node if rows else None
        while above is not None and not isinstance(above.item, LogMessage):
            above = above.previous
        if above is not None:
            self._select(above.item.key)
        elif self._model.first is not None:
            self._model.window.to(self._model.first)  # what stands above the first message
            self._changed()

    def select_next(self) -> None:
        """Select the message below; below the last one none, back at the end."""
        node = self._node(self._selected)
        if node is None:
            return
        below = node.next
        while below is not None and not isinstance(below.item, LogMessage):
            below = below.next
        if below is not None:
            self._select(below.item.key)
        else:
            self._select(None, left=True)
            self.scroll_to_bottom()

    def clear_selection(self) -> None:
        """Select no message."""
        self._select(None)

    def _node(self, key: str | None) -> ItemNode | None:
        return self._model.get(key) if key is not None else None

    def _select(self, key: str | None, *, left: bool = False) -> None:
        if key == self._selected:
            return
        self._selected = key
        if (node := self._node(key)) is not None:
            self._fit()
            self._model.window.show(node)
        self.post_message(self.SelectionChanged(self, key, left=left))
        self._changed()

    # Actions of keys

    def action_select_previous(self) -> None:
        """Select the message above."""
        self.select_previous()

    def action_select_next(self) -> None:
        """Select the message below; scroll if none is selected."""
        if self._selected is None:
            self._scroll_rows(1)
        else:
            self.select_next()

    def action_page(self, direction: int) -> None:
        """Turn a page: down if `direction` is 1, up if it is -1."""
        self._scroll_rows(direction * max(1, self._model.window.height - _OVERLAP))

    def scroll_half(self, direction: int) -> None:
        """Scroll by half of what is visible: down if `direction` is 1, up if it is -1."""
        self._scroll_rows(direction * max(1, self._model.window.height // 2))

    def action_leave(self) -> None:
        """Select nothing; if nothing was, leave the key to the screen."""
        if self.text_selection is not None:
            self.screen.clear_selection()
        elif self._selected is not None:
            self._select(None, left=True)
        else:
            raise SkipAction

    def action_act(self, action: ActionName) -> None:
        """Ask for something to be done with the selected message."""
        if self._selected is None:
            raise SkipAction
        self._act(self._selected, action)

    def _act(self, key: str, action: ActionName) -> None:
        self.post_message(self.Action(self, key, action))

    def action_extend(self, step: Step) -> None:
        """Select text: from the selected message on, or from the first that is visible."""
        rows = self._model.window.rows()
        start = self._node(self._selected) or (rows[0].node if rows else None)
        if start is None:
            raise SkipAction
        selection = self._selector.extend(self.text_selection, step, start)
        self.screen.selections = {self: selection}
        if (head := self._selector.head_row()) is not None:
            self._model.window.show_row(head)
        self._changed()

    # Scrolling: Textual's numbers follow the window, never the other way round

    def scroll_home(self, **_options: object) -> None:
        """Go to the oldest item that is here."""
        if (first := self._model.first) is not None:
            self._model.window.to(first)
            self._changed()

    def scroll_end(self, **_options: object) -> None:
        """Go to now, and stay there."""
        self.scroll_to_bottom()

    def scroll_to(self, x: float | None = None, y: float | None = None, **_options: object) -> None:
        """Go to a row; without animation, which would fight with offsets that change."""
        if y is not None:
            self._scroll_to(y=y, animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow an offset set by wheel, scroll bar, or a selection dragged over the edge."""
        rows = round(new_value) - round(old_value)
        if self.size != self._fitted:
            self._changed()  # not the reader: Textual keeps it within the bounds of a new size
        elif rows:
            self._fit()
            window = self._model.window
            if abs(rows) <= 2 * window.height:
                window.scroll(rows)
            else:
                window.to_offset(round(new_value))
            self._changed()

    def _scroll_rows(self, rows: int) -> None:
        self._fit()
        self._model.window.scroll(rows)
        self._changed()

    # Keeping Textual up to date

    def _changed(self) -> None:
        """Show everything again; many changes in one pass of the loop cost as much as one."""
        if self.is_mounted and not self._publishing:
            self._publishing = True
            self.call_next(self._publish)

    def _fit(self) -> None:
        self._fitted = self.size
        width, height = self.scrollable_content_region.size
        if width and height:
            self._model.resize(width, height)

    def _publish(self) -> None:
        self._publishing = False
        if not self.size:
            return
        self._fit()
        window = self._model.window
        offset, total = window.offset, self._model.total
        # set_reactive, since a virtual size that changes lays out the whole screen.
        self.set_reactive(Widget.virtual_size, Size(self.size.width, total))
        fraction = self.scroll_y - round(self.scroll_y)
        self.set_reactive(Widget.scroll_y, offset + fraction)
        self.set_reactive(Widget.scroll_target_y, float(offset))
        if self.show_vertical_scrollbar:
            bar = self.vertical_scrollbar
            bar.window_virtual_size = total
            bar.window_size = window.height
            bar.position = offset
        self._report()
        self._hover()  # another message may be under the mouse now
        self._repaint()

    def _report(self) -> None:
        """Post that the reader came to an end."""
        window = self._model.window
        if not len(self._model):
            return
        near = window.offset < window.height
        if near and not self._older_exhausted and not self._asked_older:
            self._asked_older = True
            self.post_message(self.TopReached(self))
        at_end = window.at_end
        if at_end and not self._was_at_end:
            self.post_message(self.BottomReached(self))
        self._was_at_end = at_end

    def on_mount(self) -> None:
        """Show what came before there was a screen."""
        self._changed()

    def on_resize(self, event: events.Resize) -> None:
        """Lay out what is visible at the new width."""
        self._changed()

    def notify_style_update(self) -> None:
        """Take new colours: of another theme, or of another rule of the style sheet."""
        super().notify_style_update()
        self._palette = None

    # Painting

    def render_line(self, y: int) -> Strip:
        """Return row `y` of what is visible."""
        if self.size != self._fitted:
            self._fit()
        rows = self._model.window.rows()
        if self._frame is None or self._framed is not rows or self._palette is None:
            if self._palette is None:
                self._palette = new_palette(self)
            marks = Marks(self._selected, self._highlighted, self._hovered, self.text_selection)
            self._frame, self._framed = self._painter.paint(self._palette, marks), rows
        return self._frame[y] if y < len(self._frame) else Strip.blank(self.size.width)

    def _repaint(self) -> None:
        self._frame = None
        self.refresh()

    # Text selection

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text, without frames and wrapping, for copying."""
        return self._selector.text(selection), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Show what is selected."""
        if selection != self._selector.made:
            self._selector.forget()
        self._repaint()

    # The mouse

    async def _on_click(self, event: events.Click) -> None:
        event.prevent_default()  # a double click would select the whole log
        if self.text_selection is not None:
            return  # the end of a drag
        node = self._node_at(event)
        chat = event.style.meta.get("chat", ("", ""))
        if event.style.link:
            self.post_message(self.LinkActivated(self, event.style.link))
        elif event.chain > 1 and node is not None and chat[0] in {"", "time"}:
            self._select_text(event, node)
        elif chat[0] == "bottom":
            self.scroll_to_bottom()
        elif chat[0] == "sender":
            self.post_message(self.SenderClicked(self, chat[1]))
        elif chat[0] == "reaction" and node is not None:
            self.post_message(self.ReactionClicked(self, node.item.key, chat[1]))
        elif chat[0] == "act" and node is not None:
            self._act(node.item.key, chat[1])

    def _select_text(self, event: events.Click, node: ItemNode) -> None:
        """Select a word after two clicks, a message after three."""
        _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
        if event.chain == 2 and offset is not None:
            selection = self._selector.word(offset)
        else:
            selection = self._selector.whole(node)
        if selection is not None:
            self.screen.selections = {self: selection}

    def _node_at(self, event: events.MouseEvent) -> ItemNode | None:
        offset = event.get_content_offset(self)
        return self._node_in(offset.y) if offset is not None else None

    def _node_in(self, y: int) -> ItemNode | None:
        """Return what is shown in row `y` of the content."""
        rows = self._model.window.rows()
        number = y - (self._model.window.height - len(rows))
        return rows[number].node if 0 <= number < len(rows) else None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show a tip for what is hovered, and what can be done with it."""
        offset = event.get_content_offset(self)
        self._mouse_row = offset.y if offset is not None and not event.button else None
        self._hover()
        node = self._node_at(event)
        text = tip(node, event.style) if node is not None else ""
        self.tooltip = Text(text) if text else None

    def on_leave(self, event: events.Leave) -> None:
        """Show neither."""
        self._mouse_row = None
        self._hover()
        self.tooltip = None

    def _hover(self) -> None:
        node = self._node_in(self._mouse_row) if self._mouse_row is not None else None
        key = node.item.key if node is not None else None
        if key != self._hovered:
            self._hovered = key
            self._repaint()
