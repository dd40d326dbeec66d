"""The terminal: whether it can show the app, and what it sends for some keys.

Nothing here loads Textual, except where a docstring says so.
"""

from __future__ import annotations

import codecs
import locale
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from threading import Thread
from typing import Final

from gochat.errors import ConfigError
from gochat.tui.language import _

#: How often a second Textual looks for something to draw; its own default is 60. A key waits for
#: that, 8 ms on average, and behind others up to 40. Drawing is not more often for it: the log's
#: frames are counted by the app (30 a second), and animations have a rate of their own.
LOOKS_PER_SECOND: Final = 240


def draw_soon() -> None:
    """Make Textual draw soon after a key. To be called before Textual is loaded."""
    os.environ.setdefault("TEXTUAL_FPS", str(LOOKS_PER_SECOND))


def check_terminal() -> None:
    """Check that the app can run in this terminal.

    Raises:
        ConfigError: no terminal, or one that can't be sent UTF-8; the message is about what to do.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            _("the app needs a terminal, but its input or output is not one; --plain works without")
        )
    if os.environ.get("TERM", "") in ("dumb", "unknown"):
        raise ConfigError(
            _(
                "a terminal of the kind {term!r} can't show the app, only --plain; if it can do "
                "more than that, set TERM, for example to xterm-256color",
                term=os.environ["TERM"],
            )
        )
    encoding = sys.stdout.encoding or locale.getpreferredencoding(False)  # noqa: FBT003 – its only form
    if codecs.lookup(encoding).name == "utf-8":
        return
    if os.environ.get("PYTHONIOENCODING"):
        raise ConfigError(
            _(
                "PYTHONIOENCODING asks for the encoding {encoding}, and the app needs UTF-8: unset "
                "that variable",
                encoding=encoding,
            )
        )
    raise ConfigError(
        _(
            "this terminal's locale has the encoding {encoding}, and the app needs UTF-8: try "
            "it with LC_ALL=C.UTF-8 before the command, or set LANG to one of the UTF-8 "
            "locales that `locale -a` lists",
            encoding=encoding,
        )
    )


def locale_problem() -> str:
    """Return what the person should know of the locale, or an empty string.

    In the locale C, and so where none is set at all, Python takes UTF-8 nevertheless. That is
    mostly right: many containers and ssh sessions have no locale, and their terminal knows UTF-8.
    So the app goes on; but tmux and the like then replace such characters, without a reason shown.
    """
    if not sys.flags.utf8_mode or os.environ.get("PYTHONUTF8") or "utf8" in sys._xoptions:
        return ""
    # Not LC_CTYPE: Python has set it to UTF-8 itself.
    wanted = os.environ.get("LC_ALL") or os.environ.get("LANG")
    reason = (
        _("The locale {locale} is not UTF-8 here.", locale=wanted)
        if wanted
        else _("No locale is set.")
    )
    how = _("If signs look wrong, start with LC_ALL=C.UTF-8 before the command.")
    return f"{reason} {how}"


@contextmanager
def kept_title() -> Iterator[None]:
    """Restore the window's title at the end, where the terminal can."""
    sys.stdout.write("\x1b[22;2t")
    sys.stdout.flush()
    try:
        yield
    finally:
        sys.stdout.write("\x1b[23;2t")
        sys.stdout.flush()


def end_with_terminal(keep: Callable[[], None]) -> None:
    """End this process when its terminal is gone, as the hang-up signal would; first call `keep`.

    An app that was started apart from its terminal's session (nohup, setsid, another program) gets
    no such signal. Textual then reads the end of its input again and again, and waits for ever for
    what it writes to be taken. So `keep` can't wait for the app's own thread: it runs in another.
    """
    if not hasattr(select, "poll"):
        return  # Windows

    def watch() -> None:
        terminal = select.poll()
        terminal.register(sys.stdin.fileno(), 0)  # a hang-up is always reported
        if any(event & select.POLLHUP for _fd, event in terminal.poll()):
            try:
                keep()
            finally:
                os._exit(128 + signal.SIGHUP)

    Thread(target=watch, name="terminal", daemon=True).start()


def replace_invalid_input() -> None:
    """Make Textual read a byte that is not UTF-8 as U+FFFD, as terminals show it. Loads Textual.

    Otherwise one such byte (a paste in another encoding, noise on a serial line) ends the app.
    Textual has no public way to choose; its driver makes a decoder by the name of this function.
    """
    if sys.platform == "win32":
        return  # its driver gets characters
    from textual.drivers import linux_driver

    def replacing(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
        return partial(codecs.getincrementaldecoder(encoding), errors="replace")

    vars(linux_driver)["getincrementaldecoder"] = replacing


class LegacyKey(StrEnum):
    """Keys with Alt, as most terminals send them: ESC before the key."""

    ALT_ENTER = "alt+enter"
    ALT_SLASH = "alt+slash"
    ALT_1 = "alt+1"
    ALT_2 = "alt+2"
    ALT_3 = "alt+3"
    ALT_4 = "alt+4"
    ALT_5 = "alt+5"
    ALT_6 = "alt+6"
    ALT_7 = "alt+7"
    ALT_8 = "alt+8"
    ALT_9 = "alt+9"


def teach_legacy_keys() -> None:
    """Teach Textual the keys with Alt that it takes for others. Loads Textual.

    Without this Alt+Enter, where it is sent as ESC CR, is Enter and so sends what was to go on;
    Alt+1 is "¡", as on a Mac's keyboard of one country; Alt+/ is "/". Textual has no public way
    to say so; its table of sequences is the one place where it looks.
    """
    from typing import Any, cast

    from textual import _ansi_sequences

    table = cast("dict[str, Any]", _ansi_sequences.ANSI_SEQUENCES_KEYS)
    table["\x1b\r"] = (LegacyKey.ALT_ENTER,)
    table["\x1b/"] = (LegacyKey.ALT_SLASH,)
    for key in list(LegacyKey)[2:]:
        table[f"\x1b{key.value[-1]}"] = (key,)
    # Esc and a key with Ctrl that come at once; otherwise Esc is lost.
    for char in map(chr, range(1, 27)):
        if char != "\r" and f"\x1b{char}" not in table and isinstance(table.get(char), tuple):
            table[f"\x1b{char}"] = (*table["\x1b"], *table[char])


#: What Textual takes ESC and a character for, while it is taught otherwise.
_untaught: dict[str, object] = {}


def teach_escape(*, on: bool) -> None:
    """Teach Textual that ESC and a character at once are that character with Alt, or no longer.

    It takes some for other keys, and waits after the others for more. "[", "O" and "]" begin too
    many sequences of terminals to be among them. Loads Textual.
    """
    from typing import Any, NamedTuple, cast

    from textual import _ansi_sequences

    class AltKey(NamedTuple):
        value: str

    table = cast("dict[str, Any]", _ansi_sequences.ANSI_SEQUENCES_KEYS)
    for sequence in (f"\x1b{chr(code)}" for code in range(0x21, 0x7F)):
        if on and sequence[1] not in "[O]" and sequence not in _untaught:
            char = sequence[1]
            key = f"shift+{char.lower()}" if char.isupper() else char
            _untaught[sequence] = table.get(sequence)
            table[sequence] = (AltKey(f"alt+{key}"),)
        elif not on and sequence in _untaught:
            if (before := _untaught.pop(sequence)) is None:
                del table[sequence]
            else:
                table[sequence] = before
