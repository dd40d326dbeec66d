"""The styles of a chat log, and how they become the palette that rows are painted with."""

from __future__ import annotations

import colorsys
from typing import Final

from rich.color import ColorType
from rich.style import Style
from textual.widget import Widget

from gochat.tui.chat_log.paint import Palette
from gochat.tui.text.colours import MIN_CONTRAST, RGB, contrast, readable, sender_colour

#: Roles of pieces, each styled by the component class ``chat-log--<role>``.
ROLES: Final = (
    "text",
    "time",
    "day",
    "unread",
    "notice",
    "name",
    "link",
    "code",
    "quote",
    "faint",
    "reply",
    "pending",
    "deleted",
    "error",
    "button",
    "reaction",
    "reaction-own",
    "keyword",
    "string",
    "number",
    "comment",
    "function",
    "removed",
    "below",
    "toolbar",
    "title",
    "heading",
    "code-label",
)
#: Roles that are lines, not text: they may be fainter.
LINES: Final = (
    "rule", "unread-rule", "quote-bar", "mention-bar", "selected-bar", "code-edge",
)  # fmt: skip
BACKDROPS: Final = ("mention", "selected", "highlight")

COMPONENT_CLASSES: Final = frozenset(f"chat-log--{name}" for name in (*ROLES, *LINES, *BACKDROPS))

STYLES: Final = """
ChatLog {
    height: 1fr;
    overflow-x: hidden;
    overflow-y: scroll;
    scrollbar-size-vertical: 1;
    scrollbar-color: $foreground 20%;
    scrollbar-color-hover: $foreground 40%;
    scrollbar-color-active: $primary;
    scrollbar-background: $background;
    scrollbar-background-hover: $background;
    scrollbar-background-active: $background;
    background: $background;
    color: $foreground;

    & > .chat-log--time { color: $text-muted; }
    & > .chat-log--day { color: $text-muted; }
    & > .chat-log--rule { color: $foreground 20%; }
    & > .chat-log--unread { color: $text-error; text-style: bold; }
    & > .chat-log--unread-rule { color: $error; }
    & > .chat-log--notice { color: $text-muted; text-style: italic; }
    & > .chat-log--name { color: $text-accent; text-style: bold; }
    & > .chat-log--link { color: $text-primary; text-style: underline; }
    & > .chat-log--code { background: $surface; color: $foreground; }
    & > .chat-log--title { color: $text-primary; text-style: bold underline; }
    & > .chat-log--heading { color: $text-primary; text-style: bold; }
    & > .chat-log--code-label { color: $text-muted; }
    & > .chat-log--code-edge { color: $foreground 40%; }
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
    & > .chat-log--selected { background: $foreground 10%; }
    & > .chat-log--highlight { background: $accent 24%; }
    & > .chat-log--keyword { color: $text-accent; }
    & > .chat-log--string { color: $text-success; }
    & > .chat-log--number { color: $text-warning; }
    & > .chat-log--comment { color: $text-muted; text-style: italic; }
    & > .chat-log--function { color: $text-primary; }
    & > .chat-log--removed { color: $text-error; }
    & > .chat-log--below { background: $primary; color: $text; text-style: bold; }
    & > .chat-log--toolbar { background: $panel; color: $foreground; }
}
"""

_EMPHASIS: Final = {
    "bold": Style(bold=True),
    "italic": Style(italic=True),
    "strike": Style(strike=True),
}
#: Possible backgrounds where only the terminal knows its own: both extremes.
_UNKNOWN: Final = (RGB(0, 0, 0), RGB(255, 255, 255))
_ON_CODE: Final = frozenset(
    {"keyword", "string", "number", "comment", "function", "removed", "code-label"}
)


def new_palette(widget: Widget) -> Palette:
    """Return the palette of the theme in use; every text is readable on its background."""
    base = widget.rich_style
    if base.bgcolor is None or base.bgcolor.type is ColorType.DEFAULT:
        return _of_terminal(widget, base)
    grounds = _grounds(base)
    backdrops = {
        name: Style(bgcolor=widget.get_component_rich_style(f"chat-log--{name}").bgcolor)
        for name in BACKDROPS
    }
    behind = (*grounds, *(ground for style in backdrops.values() for ground in _grounds(style)))
    code = _grounds(widget.get_component_rich_style("chat-log--code"))
    roles = dict(_EMPHASIS)
    for role in (*ROLES, *LINES):
        style = widget.get_component_rich_style(f"chat-log--{role}")
        if style.bgcolor != base.bgcolor:
            roles[role] = _readable(style, _grounds(style))
            continue
        style = style.without_color + Style(color=style.color)
        if role in LINES:
            roles[role] = style
        else:
            roles[role] = _readable(style, code if role in _ON_CODE else (*behind, *code))
    return Palette(
        base=base + _readable(Style(color=base.color), behind),
        roles=roles,
        backdrops=backdrops,
        selection=_selection(widget),
        sender=lambda name: _coloured(Style(bold=True), sender_colour(name, behind)),
    )


def _of_terminal(widget: Widget, base: Style) -> Palette:
    """Return the palette of a theme that leaves the colours to the terminal.

    Nothing can be tinted then: a tint of yellow would be yellow. The background stays the
    terminal's, and attributes replace tints.
    """
    roles = dict(_EMPHASIS)
    for role in (*ROLES, *LINES):
        style = widget.get_component_rich_style(f"chat-log--{role}")
        roles[role] = style.without_color + Style(color=style.color)
    for role in (
        "rule",
        "quote-bar",
        "time",
        "faint",
        "quote",
        "reply",
        "pending",
        "notice",
        "code-edge",
    ):
        roles[role] += Style(dim=True)
    for role in ("below", "toolbar"):
        roles[role] = Style(reverse=True)
    return Palette(
        base=base,
        roles=roles,
        backdrops={"highlight": Style(reverse=True)},
        selection=Style(reverse=True),
        sender=lambda name: _coloured(Style(bold=True), sender_colour(name, _UNKNOWN)),
    )


def _selection(widget: Widget) -> Style:
    """Return the style of selected text: one colour for all of it, readable on its background."""
    background = widget.selection_style.bgcolor
    if background is None or widget.app.no_color:
        return Style(reverse=True)
    style = Style(bgcolor=background)
    return style + _readable(Style(color=widget.rich_style.color), _grounds(style))


def _grounds(style: Style) -> tuple[RGB, ...]:
    return (RGB(*style.bgcolor.get_truecolor(foreground=False)),) if style.bgcolor else _UNKNOWN


def _readable(style: Style, grounds: tuple[RGB, ...]) -> Style:
    """Return `style`, its colour made lighter or darker as far as needed."""
    if style.color is None or style.color.type is not ColorType.TRUECOLOR:
        return style  # one of the terminal's own colours, whose look is unknown
    red, green, blue = style.color.get_truecolor()
    if all(contrast(RGB(red, green, blue), ground) >= MIN_CONTRAST for ground in grounds):
        return style
    hue, _, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    return _coloured(style, readable(hue, saturation, grounds))


def _coloured(style: Style, colour: RGB) -> Style:
    return style + Style(color=f"#{colour.red:02x}{colour.green:02x}{colour.blue:02x}")
