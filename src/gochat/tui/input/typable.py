"""What a text field may hold: text that does nothing to the terminal which shows it.

Fields show what is in them as it is, so this is for everything that comes into one other than by
keys: pastes, names that are completed, files from an editor. (What is only shown is made safe by
:mod:`gochat.tui.text.sanitise`, which also shows what it found; a field is for going on writing.)
"""

from __future__ import annotations

import re
from typing import Final

#: Controls but for the tab and the new line; halves of surrogate pairs; what steers the direction
#: of writing or is drawn as nothing. Joiners and variation selectors stay: emoji and scripts use
#: them.
_NOT: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u00ad\u200b\u202a-\u202e\u2060-\u2069\ufeff"
    "\U000e0000-\U000e001f]"
)
#: Tags, which are drawn as nothing but in the flags of regions.
_TAGS: Final = re.compile("(\U0001f3f4[\U000e0020-\U000e007f]+)|[\U000e0020-\U000e007f]")


def typable(text: str) -> str:
    """Return `text` without what could not have been typed; its line ends become ``\\n``."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n")
    return _TAGS.sub(lambda found: found[1] or "", _NOT.sub("", text))
