"""Which texts are an emoji."""

from __future__ import annotations

from gochat.chat.emoji import normalise
from gochat.tui.input import emoji


def test_emoji_that_the_app_offers_are_kept_as_it_spells_them() -> None:
    """So that it knows its own again, to take it back."""
    offered = list(emoji.EMOJI.values())
    assert len(offered) > 300
    assert [one for one in offered if normalise(one) != one] == []


def test_normal_form_is_its_own() -> None:
    for text in ("❤", "1⃣", "👩‍❤‍💋‍👨", "👁‍🗨", "☝🏽", "🏳‍🌈"):
        form = normalise(text)
        assert form is not None
        assert normalise(form) == form
