"""What is pasted is text: an ESC in it ends no paste, so what follows it is not taken for keys."""

from __future__ import annotations

import sys
from typing import Final

_START: Final = "\x1b[200~"
_END: Final = "\x1b[201~"


class PasteFilter:
    """Replaces ESC in bracketed pastes by its visible sign.

    Terminals should do that, and not all of them do. Textual takes what follows such an ESC for
    keys: a line end would send a message, and a Ctrl+Q quit.
    """

    def __init__(self) -> None:
        self._recent = ""  # the last characters before a paste, in which it may begin
        self._kept = ""  # the last characters of a chunk of a paste, in which it may end
        self._is_pasting = False

    def filtered(self, data: str) -> str:
        """Return the next part of the input, with which the parser can be fed."""
        found = ""
        while data:
            if not self._is_pasting:
                before = self._recent + data
                at = before.find(_START)
                if at < 0:
                    self._recent = before[1 - len(_START) :]
                    return found + data
                end = at + len(_START) - len(self._recent)
                found, data = found + data[:end], data[end:]
                self._recent, self._is_pasting = "", True
                continue
            text = self._kept + data
            at = text.find(_END)
            if at < 0:
                keep = next(n for n in range(len(_END) - 1, -1, -1) if text.endswith(_END[:n]))
                cut = len(text) - keep
                self._kept = text[cut:]
                return found + text[:cut].replace("\x1b", "\u241b")
            found += text[:at].replace("\x1b", "\u241b") + _END
            self._kept, self._is_pasting = "", False
            data = text[at + len(_END) :]
        return found


def keep_pastes_whole() -> None:
    """Filter what Textual's driver reads. Loads Textual, which has no public way to do it."""
    if sys.platform == "win32":
        return  # its driver gets keys
    from textual._xterm_parser import XTermParser
    from textual.drivers import linux_driver

    class Parser(XTermParser):
        def __init__(self, debug: bool = False) -> None:
            super().__init__(debug)
            self._pastes = PasteFilter()

        def feed(self, data: str):  # type: ignore[no-untyped-def]  # as Textual's
            if data and not (data := self._pastes.filtered(data)):
                return ()  # nothing yet; an empty string would be the end of the input
            return super().feed(data)

    vars(linux_driver)["XTermParser"] = Parser
