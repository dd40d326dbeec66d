"""The person's own entries, in their position in the log."""

from __future__ import annotations

from typing import get_args

import pytest

from gochat.client.entries import Saying, entry_of
from gochat.protocol import messages as wire

SENT = wire.Sent(to="#garden", epoch="e1", seq=7, ts=1234, cid="c1")


@pytest.mark.parametrize(
    ("request_", "kind", "text", "ref"),
    [
        (wire.Send(to="#Garden", text="hello", reply_to=3, cid="c1"), "text", "hello", 3),
        (wire.Edit(to="#garden", seq=3, text="hallo", cid="c1"), "edit", "hallo", 3),
        (wire.Delete(to="#garden", seq=3, cid="c1"), "delete", "", 3),
        (wire.React(to="#garden", seq=3, emoji="🌱", cid="c1"), "react", "🌱", 3),
        (wire.React(to="#garden", seq=3, emoji="🌱", on=False, cid="c1"), "unreact", "🌱", 3),
        (wire.CreateRoom(room="#garden", topic="plants", cid="c1"), "create", "public", None),
        (wire.CreateRoom(room="#garden", private=True, cid="c1"), "create", "private", None),
        (wire.Join(room="#garden", cid="c1"), "join", "", None),
        (wire.Leave(room="#garden", cid="c1"), "leave", "", None),
        (wire.Invite(room="#garden", name="bob", cid="c1"), "invite", "bob", None),
        (wire.Kick(room="#garden", name="bob", cid="c1"), "kick", "bob", None),
        (wire.SetTopic(room="#garden", topic="plants", cid="c1"), "topic", "plants", None),
        (wire.SetOperator(room="#garden", name="bob", cid="c1"), "operator", "bob", None),
        (wire.SetOperator(room="#garden", name="bob", on=False, cid="c1"), "member", "bob", None),
        (wire.SetAccess(room="#garden", private=True, cid="c1"), "access", "private", None),
        (wire.SetAccess(room="#garden", private=False, cid="c1"), "access", "public", None),
        (wire.SetHistory(room="#garden", history="hidden", cid="c1"), "history", "hidden", None),
    ],
)
def test_acknowledged_request_is_the_entry_it_became(
    request_: Saying, kind: str, text: str, ref: int | None
) -> None:
    entry = entry_of(request_, SENT, "mei")
    assert entry is not None
    assert (entry.kind, entry.text, entry.ref) == (kind, text, ref)
    assert (entry.to, entry.epoch, entry.seq, entry.ts) == ("#garden", "e1", 7, 1234)
    assert (entry.from_, entry.cid) == ("mei", "c1")


def test_every_request_with_a_cid_becomes_an_entry() -> None:
    """A new request type can't be forgotten here."""
    with_cid = {t for t in get_args(wire.Request) if "cid" in t.__struct_fields__}
    assert with_cid == set(get_args(Saying))


def test_request_that_writes_nothing_has_no_entry() -> None:
    assert entry_of(wire.Ping(), SENT, "mei") is None
