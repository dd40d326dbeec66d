"""Recognise and normalise emoji (UTS #51).

A reaction is one emoji: a pictograph, perhaps with a skin tone, a flag, a keycap, or several of
these joined. The variation selector that requests a coloured presentation makes no difference: "❤"
and "❤️" are the same, and are kept in the form that Unicode calls fully qualified.

The ranges are those of Unicode 17.0, as ICU 78.3 has them; code points reserved for future emoji
count as pictographs.
"""

from __future__ import annotations

import re
from typing import Final

#: In characters, as sent. The longest emoji have ten, twice as many with selectors.
MAX_EMOJI: Final = 32

#: Extended_Pictographic.
_PICTOGRAPHS: Final = """
a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 231a-231b 2328 23cf 23e9-23f3 23f8-23fa 24c2
25aa-25ab 25b6 25c0 25fb-25fe 2600-2604 260e 2611 2614-2615 2618 261d 2620 2622-2623 2626 262a
262e-262f 2638-263a 2640 2642 2648-2653 265f-2660 2663 2665-2666 2668 267b 267e-267f 2692-2697
2699 269b-269c 26a0-26a1 26a7 26aa-26ab 26b0-26b1 26bd-26be 26c4-26c5 26c8 26ce-26cf 26d1
26d3-26d4 26e9-26ea 26f0-26f5 26f7-26fa 26fd 2702 2705 2708-270d 270f 2712 2714 2716 271d 2721
2728 2733-2734 2744 2747 274c 274e 2753-2755 2757 2763-2764 2795-2797 27a1 27b0 27bf 2934-2935
2b05-2b07 2b1b-2b1c 2b50 2b55 3030 303d 3297 3299 1f004 1f02c-1f02f 1f094-1f09f 1f0af-1f0b0
1f0c0 1f0cf-1f0d0 1f0f6-1f0ff 1f170-1f171 1f17e-1f17f 1f18e 1f191-1f19a 1f1ae-1f1e5 1f201-1f20f
1f21a 1f22f 1f232-1f23a 1f23c-1f23f 1f249-1f25f 1f266-1f321 1f324-1f393 1f396-1f397 1f399-1f39b
1f39e-1f3f0 1f3f3-1f3f5 1f3f7-1f3fa 1f400-1f4fd 1f4ff-1f53d 1f549-1f54e 1f550-1f567 1f56f-1f570
1f573-1f57a 1f587 1f58a-1f58d 1f590 1f595-1f596 1f5a4-1f5a5 1f5a8 1f5b1-1f5b2 1f5bc 1f5c2-1f5c4
1f5d1-1f5d3 1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 1f5fa-1f64f 1f680-1f6c5 1f6cb-1f6d2
1f6d5-1f6e5 1f6e9 1f6eb-1f6f0 1f6f3-1f6ff 1f7da-1f7ff 1f80c-1f80f 1f848-1f84f 1f85a-1f85f
1f888-1f88f 1f8ae-1f8af 1f8bc-1f8bf 1f8c2-1f8cf 1f8d9-1f8ff 1f90c-1f93a 1f93c-1f945 1f947-1f9ff
1fa58-1fa5f 1fa6e-1faff 1fc00-1fffd
"""
#: Emoji that are shown without colours unless a selector asks for them: Emoji, without
#: Emoji_Presentation.
_PLAIN: Final = """
a9 ae 203c 2049 2122 2139 2194-2199 21a9-21aa 2328 23cf 23ed-23ef 23f1-23f2 23f8-23fa 24c2
25aa-25ab 25b6 25c0 25fb-25fc 2600-2604 260e 2611 2618 261d 2620 2622-2623 2626 262a 262e-262f
2638-263a 2640 2642 265f-2660 2663 2665-2666 2668 267b 267e 2692 2694-2697 2699 269b-269c 26a0
26a7 26b0-26b1 26c8 26cf 26d1 26d3 26e9 26f0-26f1 26f4 26f7-26f9 2702 2708-2709 270c-270d 270f
2712 2714 2716 271d 2721 2733-2734 2744 2747 2763-2764 27a1 2934-2935 2b05-2b07 3030 303d 3297
3299 1f170-1f171 1f17e-1f17f 1f202 1f237 1f321 1f324-1f32c 1f336 1f37d 1f396-1f397 1f399-1f39b
1f39e-1f39f 1f3cb-1f3ce 1f3d4-1f3df 1f3f3 1f3f5 1f3f7 1f43f 1f441 1f4fd 1f549-1f54a 1f56f-1f570
1f573-1f579 1f587 1f58a-1f58d 1f590 1f5a5 1f5a8 1f5b1-1f5b2 1f5bc 1f5c2-1f5c4 1f5d1-1f5d3
1f5dc-1f5de 1f5e1 1f5e3 1f5e8 1f5ef 1f5f3 1f5fa 1f6cb 1f6cd-1f6cf 1f6e0-1f6e5 1f6e9 1f6f0 1f6f3
"""
_SELECTORS: Final = re.compile("[\ufe0e\ufe0f]")
_COLOURS: Final = "\ufe0f"


def _characters(ranges: str) -> str:
    """Return a regular expression for one character of these ranges."""
    bounds = (part.partition("-") for part in ranges.split())
    return "[" + "".join(f"\\U{a:0>8}-\\U{b or a:0>8}" for a, _, b in bounds) + "]"


_TONE: Final = "[\U0001f3fb-\U0001f3ff]"
#: Without selectors. At most four are joined, as in a kiss: two people, a heart and lips.
_PART: Final = (
    "(?:\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f"  # flag of a region
    "|[\U0001f1e6-\U0001f1ff]{2}"  # flag of a country
    "|[0-9#*]\u20e3"  # keycap
    f"|{_characters(_PICTOGRAPHS)}{_TONE}?|{_TONE})"
)
_EMOJI: Final = re.compile(f"{_PART}(?:\u200d{_PART}){{0,3}}")
_NEEDS_SELECTOR: Final = re.compile(f"(?:{_characters(_PLAIN)}(?!{_TONE})|[0-9#*](?=\u20e3))")


def normalise(text: str) -> str | None:
    """Return the normal form of an emoji, or None if `text` is not one. Takes bounded time."""
    if len(text) > MAX_EMOJI:
        return None
    bare = _SELECTORS.sub("", text)
    if not _EMOJI.fullmatch(bare):
        return None
    return _NEEDS_SELECTOR.sub(lambda found: found[0] + _COLOURS, bare)
