"""The chat log as a widget of Textual's line API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import ClassVar, Final, Literal, overload

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.actions import SkipAction
from textual.await_remove import AwaitRemove
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.color import Color
from textual.geometry import Offset, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from gochat.tui.chat_log.index import ORDER_ORIGIN, Entry
from gochat.tui.chat_log.items import LogItem, LogMessage
from gochat.tui.chat_log.model import Laid, LogModel, TextPoint
from gochat.tui.chat_log.paint import Painting, Palette
from gochat.tui.text.colours import RGB, sender_colour

ActionName = Literal["edit", "delete", "reply", "copy", "react", "open", "retry"]

#: Names of `Palette.roles`, each styled by the component class ``chat-log--<name>``.
_ROLES: Final = (
    "text", "time", "day", "rule", "unread", "notice", "name", "link", "code", "quote",
    "quote-bar", "faint", "reply", "pending", "deleted", "error", "button", "reaction",
    "reaction-own", "mention-bar", "selected-bar", "keyword", "string", "number", "comment",
    "function", "removed", "below",
)  # fmt: skip
_BACKDROPS: Final = ("mention", "selected", "highlight")
_ATTRIBUTES: Final = {
    "sender": Style(bold=True),
    "bold": Style(bold=True),
    "italic": Style(italic=True),
    "strike": Style(strike=True),
}

#: The painted items that are kept: more than the largest screen shows.
_PAINTED: Final = 512
#: Rows that stay visible when a page is turned, for the eye to find its place.
_OVERLAP: Final = 2
#: Seconds for which the target of a jump is marked.
_HIGHLIGHT: Final = 2.0


class ChatLog(ScrollView, can_focus=True, inherit_bindings=False):
    """Messages and notices, oldest first; see the docs on the chat log for how it behaves."""

    DEFAULT_CSS = """
    ChatLog {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        background: $background;
        color: $foreground;

        & > .chat-log--time { color: $text-muted; }
        & > .chat-log--day { color: $text-muted; }
        & > .chat-log--rule { color: $foreground 20%; }
        & > .chat-log--unread { color: $text-error; text-style: bold; }
        & > .chat-log--notice { color: $text-muted; text-style: italic; }
        & > .chat-log--name { color: $text-accent; text-style: bold; }
        & > .chat-log--link { color: $text-primary; text-style: underline; }
        & > .chat-log--code { background: $surface; color: $foreground; }
        & > .chat-log--quote { color: $text-muted; }
        & > .chat-log--quote-bar { color: $foreground 40%; }
        & > .chat-log--faint { color: $text-muted; }
        & > .chat-log--reply { color: $text-muted; }
        & > .chat-log--pending { color: $text-muted; }
        & > .chat-log--deleted { color: $text-muted; text-style: italic; }
        & > .chat-log--error { color: $text-error; }
        & > .chat-log--button { color: $text-primary; text-style: underline; }
        & > .chat-log--reaction { background: $surface; color: $foreground; }
        & > .chat-log--reaction-own { background: $surface; color: $text-accent; text-style: bold; }
        & > .chat-log--mention-bar { color: $warning; }
        & > .chat-log--selected-bar { color: $primary; }
        & > .chat-log--mention { background: $warning 8%; }
        & > .chat-log--selected { background: $primary 16%; }
        & > .chat-log--highlight { background: $accent 24%; }
        & > .chat-log--keyword { color: $text-accent; }
        & > .chat-log--string { color: $text-success; }
        & > .chat-log--number { color: $text-warning; }
        & > .chat-log--comment { color: $text-muted; text-style: italic; }
        & > .chat-log--function { color: $text-primary; }
        & > .chat-log--removed { color: $text-error; }
        & > .chat-log--below { background: $primary; color: $text; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chat-log--{name}" for name in (*_ROLES, *_BACKDROPS)}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "select_previous", "Previous message", show=False),
        Binding("down,j", "select_next", "Next message", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "scroll_home", "Oldest", show=False),
        Binding("end", "scroll_end", "Now", show=False),
        Binding("escape", "leave", "Leave", show=False),
        Binding("r", "act('reply')", "Reply"),
        Binding("e", "act('edit')", "Edit"),
        Binding("d", "act('delete')", "Delete"),
        Binding("y", "act('copy')", "Copy"),
        Binding("plus", "act('react')", "React", key_display="+"),
        Binding("o", "act('open')", "Open link"),
        Binding("R", "act('retry')", "Send again"),
    ]

    class LogEvent(Message):
        """What happened in a chat log."""

        def __init__(self, log: ChatLog) -> None:
            super().__init__()
            self.log = log

        @property
        def control(self) -> ChatLog:
            """The log, for selectors of `on`."""
            return self.log

    class TopReached(LogEvent):
        """Older items are wanted. Comes once until `prepend`, and never if `older_exhausted`."""

    class BottomReached(LogEvent):
        """The reader is at the end; if not `newer_exhausted`, newer items are wanted."""

    class Action(LogEvent):
        """The reader wants something done with a message."""

        def __init__(self, log: ChatLog, key: str, action: ActionName) -> None:
            super().__init__(log)
            self.key = key
            self.action = action

    class LinkActivated(LogEvent):
        """The reader wants to see an address; http or https."""

        def __init__(self, log: ChatLog, url: str) -> None:
            super().__init__(log)
            self.url = url

    class SenderClicked(LogEvent):
        """The reader clicked a name; `name` is as in the message."""

        def __init__(self, log: ChatLog, name: str) -> None:
            super().__init__(log)
            self.name = name

    class ReactionClicked(LogEvent):
        """The reader clicked an emoji under a message, which adds or takes back theirs."""

        def __init__(self, log: ChatLog, key: str, emoji: str) -> None:
            super().__init__(log)
            self.key = key
            self.emoji = emoji

    class SelectionChanged(LogEvent):
        """Another message is selected, or none; `left` if the reader moved on below the last."""

        def __init__(self, log: ChatLog, key: str | None, *, left: bool = False) -> None:
            super().__init__(log)
            self.key = key
            self.left = left

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
        self._palette: Palette | None = None
        self._painted: LRUCache[int, tuple[Laid, object, list[Strip]]] = LRUCache(_PAINTED)
        self._selected: str | None = None
        self._highlighted: str | None = None
        self._highlight_timer: Timer | None = None
        self._publishing = False
        self._asked_older = False
        self._was_at_end = True
        self._older_exhausted = False
        self._background: Color | None = None

    # What it shows

    @property
    def items(self) -> Mapping[str, LogItem]:
        """The items by key."""
        return _Items(self._model)

    @property
    def older_exhausted(self) -> bool:
        """Whether nothing older exists: then `TopReached` isn't posted."""
        return self._older_exhausted

    @older_exhausted.setter
    def older_exhausted(self, exhausted: bool) -> None:
        self._older_exhausted = exhausted
        self._asked_older = False
        self._changed()

    @property
    def newer_exhausted(self) -> bool:
        """Whether the last item is the newest there is. If not, the end isn't stuck to."""
        return self._model.window.live

    @newer_exhausted.setter
    def newer_exhausted(self, exhausted: bool) -> None:
        self._model.window.live = exhausted
        self._model.window.changed()
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

    def replace(self, key: str, item: LogItem) -> None:
        """Put `item` in the place of `key`; does nothing if that isn't there (any more)."""
        entry = self._model.get(key)
        if entry is None:
            return
        self._model.replace(entry, item)
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
        self._remove_item(key)
        return None

    def _remove_item(self, key: str) -> None:
        entry = self._model.get(key)
        if entry is None:
            return
        self._model.remove(entry)
        if self._selected == key:
            self._select(None)
        self._changed()

    def reset(self, items: Iterable[LogItem] = ()) -> None:
        """Begin again with `items`, oldest first, at the end: another conversation."""
        self._model.reset(items)
        self._painted.clear()
        self._asked_older = False
        self._was_at_end = False
        self._highlighted = None
        self._select(None)
        if self.is_mounted and self.text_selection is not None:
            self.screen.clear_selection()
        self._changed()

    def set_unread_after(self, key: str | None) -> None:
        """Show the divider between `key` and what came after it, or none."""
        self._model.set_unread_after(key)
        self._changed()

    def set_theme_colours(self) -> None:
        """Take the colours from the theme again. It does so itself when the theme changes."""
        self._palette = None
        self.refresh()

    # Where it is

    @property
    def at_bottom(self) -> bool:
        """Whether the last row is visible."""
        return self._model.window.at_end

    @property
    def new_below(self) -> int:
        """How many messages came below while the reader was further up."""
        return self._model.unseen

    def scroll_to_bottom(self) -> None:
        """Go to now, and stay there."""
        self._model.window.to_end()
        self._changed()

    def scroll_to_key(self, key: str, *, highlight: bool = False) -> bool:
        """Bring an item into view, a third from the top; say whether it is there.

        With `highlight` it is marked for two seconds.
        """
        entry = self._model.get(key)
        if entry is None:
            return False
        self._fit()
        self._model.window.to(_leader(entry))
        self._model.window.scroll(-(self._model.window.height // 3))
        if highlight:
            self._highlighted = key
            if self._highlight_timer is not None:
                self._highlight_timer.stop()
            self._highlight_timer = self.set_timer(_HIGHLIGHT, self._end_highlight)
        self._changed()
        return True

    def _end_highlight(self) -> None:
        self._highlighted = None
        self.refresh()

    # The selected message

    @property
    def selected_key(self) -> str | None:
        """The key of the message the keys act on."""
        return self._selected

    def select_previous(self) -> None:
        """Select the message above, or the last visible one if none is selected."""
        entry = self._model.get(self._selected) if self._selected is not None else None
        self._fit()
        if entry is None:
            rows = self._model.window.rows()
            above: Entry | None = rows[-1].entry if rows else None
        else:
            above = entry.previous
        while above is not None and not isinstance(above.item, LogMessage):
            above = above.previous
        if above is not None:
            self._select(above.item.key)
        elif entry is not None:
            self._model.window.to(entry)  # what stands above the first: its day
            self._changed()

    def select_next(self) -> None:
        """Select the message below; below the last one, none, back at the end."""
        entry = self._model.get(self._selected) if self._selected is not None else None
        if entry is None:
            return
        below = entry.next
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

    def _select(self, key: str | None, *, left: bool = False) -> None:
        if key == self._selected:
            return
        self._selected = key
        entry = self._model.get(key) if key is not None else None
        if entry is not None:
            self._fit()
            self._show(entry)
        self.post_message(self.SelectionChanged(self, key, left=left))
        self._changed()

    def _show(self, entry: Entry) -> None:
        """Scroll as little as brings all of `entry` into view, or its beginning."""
        window = self._model.window
        rows = window.rows()
        if not rows:
            return
        visible = sum(1 for row in rows if row.entry is entry)
        if visible and visible == entry.height:
            return
        if entry.order <= rows[0].entry.order:
            window.to(entry)
            return
        window.to(entry)
        window.rows()
        window.scroll(-(max(0, window.height - entry.height)))

    # Actions

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

    def action_leave(self) -> None:
        """Select no message; without one, leave the key to the screen."""
        if self._selected is None:
            raise SkipAction
        self._select(None, left=True)

    def action_act(self, action: ActionName) -> None:
        """Ask for something to be done with the selected message."""
        if self._selected is None:
            raise SkipAction
        self._act(self._selected, action)

    def _act(self, key: str, action: ActionName) -> None:
        self.post_message(self.Action(self, key, action))

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
        """Follow whoever set the offset: wheel, scroll bar, a selection dragged over the edge."""
        rows = round(new_value) - round(old_value)
        if rows:
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
        """Have everything shown anew; many changes in one pass cost one time."""
        if self.is_mounted and not self._publishing:
            self._publishing = True
            self.call_next(self._publish)

    def _fit(self) -> None:
        width, height = self.scrollable_content_region.size
        if width and height:
            self._model.resize(width, height)

    def _publish(self) -> None:
        self._publishing = False
        if not self.size:
            return
        self._fit()
        window = self._model.window
        offset = window.offset
        total = self._model.total
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
        self.refresh()

    def _report(self) -> None:
        """Tell the app that the reader came to an end."""
        window = self._model.window
        rows = window.rows()
        if not self._older_exhausted and not self._asked_older:
            near = not rows or window.offset < window.height
            if near and len(self._model):
                self._asked_older = True
                self.post_message(self.TopReached(self))
        at_end = window.at_end
        if at_end and not self._was_at_end and rows:
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
        """Return row `y` of what is visible; a log shorter than its window stands at the bottom."""
        self._fit()
        palette = self._colours()
        width = self.scrollable_content_region.width
        rows = self._model.window.rows()
        number = y - (self._model.window.height - len(rows))
        if not 0 <= number < len(rows):
            return Strip.blank(width, palette.base)
        entry, row = rows[number]
        strip = self._strips(entry, palette, width)[row]
        if y == self._model.window.height - 1 and (new := self._model.unseen):
            strip = self._with_new(strip, new, palette, width)
        return strip

    def _with_new(self, strip: Strip, new: int, palette: Palette, width: int) -> Strip:
        label = f" {new} new ↓ "
        style = palette.style("below", "") + Style.from_meta({"chat": ("bottom", "")})
        start = max(0, width - len(label) - 1)
        return Strip.join(
            [
                strip.crop(0, start),
                Strip([Segment(label, style)], len(label)),
                strip.crop(start + len(label), width),
            ]
        ).crop(0, width)

    def _strips(self, entry: Entry, palette: Palette, width: int) -> list[Strip]:
        laid = self._model.laid(entry)
        item = entry.item
        state = (palette, width, self._backdrop(item.key), self._selected_range(entry))
        known = self._painted.get(entry.order)
        if known is not None and known[0] is laid and known[1] == state:
            return known[2]
        painting = Painting(
            palette=palette,
            order=entry.order,
            width=width,
            plain=laid.document.plain,
            sender=item.sender if isinstance(item, LogMessage) else "",
            backdrop=state[2],
            selected=state[3],
        )
        strips = [painting.paint(row) for row in laid.rows]
        self._painted[entry.order] = (laid, state, strips)
        return strips

    def _backdrop(self, key: str) -> str:
        if key == self._selected:
            return "selected"
        return "highlight" if key == self._highlighted else ""

    def _colours(self) -> Palette:
        background = self.background_colors[1]
        if self._palette is None or background != self._background:
            self._background = background
            self._palette = self._new_palette()
        return self._palette

    def _new_palette(self) -> Palette:
        base = self.rich_style
        roles: dict[str, Style] = dict(_ATTRIBUTES)
        for role in _ROLES:
            style = self.get_component_rich_style(f"chat-log--{role}")
            own = style.bgcolor is not None and style.bgcolor != base.bgcolor
            roles[role] = style if own else style.without_color + Style(color=style.color)
        backdrops = {
            name: Style(bgcolor=self.get_component_rich_style(f"chat-log--{name}").bgcolor)
            for name in _BACKDROPS
        }
        grounds = tuple(
            _rgb(style) for style in (base, *backdrops.values()) if style.bgcolor is not None
        )
        return Palette(
            base=base,
            roles=roles,
            backdrops=backdrops,
            selection=self._selection_style(base),
            sender=lambda name: _coloured(name, grounds),
        )

    def _selection_style(self, base: Style) -> Style:
        style = self.selection_style
        return Style(bgcolor=style.bgcolor) if style.bgcolor is not None else Style(reverse=True)

    # Text selection

    def _range(self) -> tuple[TextPoint, TextPoint] | None:
        """Return the places between which text is selected."""
        selection = self.text_selection
        if selection is None:
            return None
        start = self._point(selection.start) if selection.start is not None else TextPoint(0, 0)
        stop = self._point(selection.end) if selection.end is not None else TextPoint(1 << 62, 0)
        return (start, stop) if start <= stop else (stop, start)

    def _point(self, offset: Offset) -> TextPoint:
        if offset.y >= ORDER_ORIGIN // 2:
            return TextPoint(offset.y, offset.x)
        # Textual measures from the corner where the widget has padding: a row of the window.
        rows = self._model.window.rows()
        if not rows:
            return TextPoint(0, 0)
        number = offset.y - (self._model.window.height - len(rows))
        entry, row = rows[min(max(number, 0), len(rows) - 1)]
        return TextPoint(entry.order, self._model.laid(entry).rows[row].at)

    def _selected_range(self, entry: Entry) -> tuple[int, int] | None:
        """Return which part of the text of `entry` is selected."""
        points = self._range()
        if points is None or not points[0].order <= entry.order <= points[1].order:
            return None
        start, stop = points
        size = len(self._model.text(entry))
        first = start.at if start.order == entry.order else 0
        last = stop.at if stop.order == entry.order else size
        return (first, last) if first < last else None

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text, without frames and wrapping, for copying."""
        points = self._range()
        if points is None:
            return None
        return self._model.extract(*points), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Show what is selected."""
        self.refresh()

    # The mouse

    async def _on_click(self, event: events.Click) -> None:
        event.prevent_default()  # a double click would select the whole log
        key = self._key_at(event.y)
        if event.style.link:
            self.post_message(self.LinkActivated(self, event.style.link))
            return
        match event.style.meta.get("chat"):
            case ("sender", str(name)):
                self.post_message(self.SenderClicked(self, name))
            case ("reaction", str(emoji)) if key is not None:
                self.post_message(self.ReactionClicked(self, key, emoji))
            case ("retry", _) if key is not None:
                self._act(key, "retry")
            case ("bottom", _):
                self.scroll_to_bottom()

    def _key_at(self, y: int) -> str | None:
        rows = self._model.window.rows()
        number = y - (self._model.window.height - len(rows))
        return rows[number].entry.item.key if 0 <= number < len(rows) else None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell more about what is hovered."""
        self.tooltip = self._tip(event)

    def on_leave(self, event: events.Leave) -> None:
        """Tell nothing."""
        self.tooltip = None

    def _tip(self, event: events.MouseMove) -> Text | None:
        """Return what a hovered place tells: an address, the full time, the people of a run."""
        if event.style.link:
            return Text(event.style.link)
        key = self._key_at(event.y)
        entry = self._model.get(key) if key is not None else None
        if entry is None:
            return None
        if event.style.meta.get("chat", ("",))[0] == "time":
            local = entry.local
            return Text(f"{local:%A}, {local.day} {local:%B %Y}, {local:%H:%M:%S} {local:%Z}")
        return None


def _leader(entry: Entry) -> Entry:
    return entry.run.leader if entry.run is not None else entry


def _rgb(style: Style) -> RGB:
    assert style.bgcolor is not None
    return RGB(*style.bgcolor.get_truecolor(foreground=False))


def _coloured(name: str, grounds: tuple[RGB, ...]) -> Style:
    if not grounds:
        return Style()
    colour = sender_colour(name, grounds)
    return Style(color=f"#{colour.red:02x}{colour.green:02x}{colour.blue:02x}")


class _Items(Mapping[str, LogItem]):
    """The items of a model by key, in their order."""

    def __init__(self, model: LogModel) -> None:
        self._model = model

    def __getitem__(self, key: str) -> LogItem:
        entry = self._model.get(key)
        if entry is None:
            raise KeyError(key)
        return entry.item

    def __iter__(self) -> Iterator[str]:
        entry = self._model.first
        while entry is not None:
            yield entry.item.key
            entry = entry.next

    def __len__(self) -> int:
        return len(self._model)
