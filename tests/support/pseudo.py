"""A language in which every message can be told from what nobody has translated: its letters are of
another alphabet."""

from __future__ import annotations

import gettext
import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gochat.tui import language

#: Cyrillic letters, which are one cell wide and have capitals, too.
_LETTERS: Final = str.maketrans({
    **{letter: chr(0x430 + index) for index, letter in enumerate(string.ascii_lowercase)},
    **{letter: chr(0x410 + index) for index, letter in enumerate(string.ascii_uppercase)},
})  # fmt: skip
_PLACEHOLDER: Final = re.compile(r"(\{[^}]*\})")


def pseudo(message: str) -> str:
    """Return `message` in other letters; its placeholders stay."""
    parts = _PLACEHOLDER.split(message)
    return "".join(part if part.startswith("{") else part.translate(_LETTERS) for part in parts)


class PseudoTranslations(gettext.NullTranslations):
    """Has a translation of every message."""

    def gettext(self, message: str) -> str:
        """Return the message in other letters."""
        return pseudo(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Return the form for `n` in other letters."""
        return pseudo(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        """Return the message in other letters."""
        return pseudo(message)


@contextmanager
def speaking(catalogue: gettext.NullTranslations) -> Iterator[None]:
    """Show everything in another language for a while."""
    before = language.install(catalogue)
    try:
        yield
    finally:
        language.install(before)
