"""Which texts are an emoji."""

from __future__ import annotations

from gochat.chat.emoji import normalise
from gochat.tui.input import emoji


def test_emoji_of_the_app_keep_their_spelling() -> None:
    """So that the app recognises its own reactions, to remove them."""
    offered = list(emoji.EMOJI.values())
    assert len(offered) > 300
    assert [one for one in offered if normalise(one) != one] == []


def test_normal_form_is_idempotent() -> None:
    for text in ("❤", "1⃣", "👩‍❤‍💋‍👨", "👁‍🗨", "☝🏽", "🏳‍🌈"):
        form = normalise(text)
        assert form is not None
        assert normalise(form) == form
