"""Nothing notifies at the hours that were chosen, nor for a while that was asked for."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.client import Conversation, Message, Synchronised
from gochat.client.convert import to_entry
from gochat.protocol import messages as wire
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.quiet import Quiet, read_hours


def at(text: str) -> float:
    """Return a time of this machine's clock, in seconds since the Unix epoch."""
    return datetime.fromisoformat(text).astimezone().timestamp()


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-11T21:59:59", None),
        ("2026-03-11T22:00:00", "2026-03-12T07:00:00"),
        ("2026-03-11T23:59:30", "2026-03-12T07:00:00"),
        ("2026-03-12T06:59:59", "2026-03-12T07:00:00"),
        ("2026-03-12T07:00:00", None),
        ("2026-03-12T12:30:10", "2026-03-12T13:00:00"),
    ],
)
def test_hours_hold_each_day_also_over_midnight(now: str, until: str | None) -> None:
    quiet = Quiet(["22:00-07:00", "12:00 – 13:00"])
    assert quiet.until(at(now)) == (None if until is None else at(until))


def test_what_was_asked_for_holds_beside_the_hours() -> None:
    quiet = Quiet(["22:00-07:00"])
    quiet.asked_until = at("2026-03-11T22:30:00")
    assert quiet.until(at("2026-03-11T21:00:00")) == quiet.asked_until
    assert quiet.until(at("2026-03-11T22:15:00")) == at("2026-03-12T07:00:00")
    quiet.asked_until = at("2026-03-12T08:00:00")
    assert quiet.until(at("2026-03-11T22:15:00")) == quiet.asked_until
    assert quiet.until(at("2026-03-12T08:00:00")) is None


@pytest.mark.parametrize("text", ["", "22-7", "24:00-07:00", "22:60-07:00", "22:00", "7:00-07:00"])
def test_other_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write hours as|ends when it begins"):
        read_hours(text)


@given(st.times(), st.times(), st.floats(1.7e9, 1.9e9))
def test_quiet_ends_within_a_day_or_is_none(start: object, end: object, now: float) -> None:
    first, last = f"{start:%H:%M}", f"{end:%H:%M}"
    if first != last:
        until = Quiet([f"{first}-{last}"]).until(now)
        assert until is None or 0 < until - now <= 25 * 3600  # the longest day has 25 hours


def test_a_mute_keeps_its_conversation_quiet_until_it_ends() -> None:
    now = 1000.0
    model = ChatModel("ada", clock=lambda: 0.0, now=lambda: now)
    model.mute("@mei", 1600.0)  # as an earlier run has left it
    mei = Conversation(name="@mei", epoch="e", head=0, time=None)
    lobby = Conversation(name="#lobby", epoch="e", head=0, time=None)
    model.apply(Synchronised((), (lobby, mei)))

    def hear(seq: int) -> bool:
        """Say whether a private message notifies."""
        message = wire.Message(
            to="@ada", conv="@mei", epoch="e", seq=seq, ts=int(now * 1000), from_="mei", text="x"
        )
        entry = to_entry(message, "ada")
        assert isinstance(entry, Message)
        model.apply(entry)
        return bool(model.take_changes().attention)

    model.take_changes()
    assert not hear(1)
    assert model.conversations["@mei"].badge == 0
    assert not model.lapse_mutes()
    now = 1600.0
    assert model.lapse_mutes()
    assert model.muted() == {}
    assert model.conversations["@mei"].badge == 1
    assert hear(2)
