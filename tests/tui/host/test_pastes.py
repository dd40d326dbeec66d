"""What is pasted stays text, whatever it holds and however it comes."""

from __future__ import annotations

import pytest

from gochat.tui.host.pastes import PasteFilter

_START, _END = "\x1b[200~", "\x1b[201~"


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_escape_in_a_paste_is_text_and_elsewhere_a_key(size: int) -> None:
    data = f"\x1b[A{_START}a\x1b[31m\r\x1b[20{_END}\x1b[B{_START}\x1b{_END}x\x1b"
    pastes = PasteFilter()
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    wanted = f"\x1b[A{_START}a\u241b[31m\r\u241b[20{_END}\x1b[B{_START}\u241b{_END}x\x1b"
    assert "".join(map(pastes.filtered, parts)) == wanted
