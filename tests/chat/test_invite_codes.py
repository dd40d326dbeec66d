"""Invite codes as they are made, and as people type them."""

from __future__ import annotations

import pytest

from gochat.chat.admission import digest_of, new_code


def test_codes_are_recognised_however_they_are_typed() -> None:
    code = new_code()
    digest = digest_of(code)
    assert digest is not None
    assert len(digest) == 32
    for typed in (code.upper(), f" {code} ", code.replace("-", " "), code[4:], code[3:]):
        assert digest_of(typed) == digest, typed
    one = "gci-0000-1111-0000-1111"
    for typed in ("gci-oooo-iiii-OOOO-LLLL", "GCI-0000-1111-0000-llll"):
        assert digest_of(typed) == digest_of(one)


@pytest.mark.parametrize(
    "typed", ["", "gci", "gci-0000", "gci-0000-0000-0000-00000", "gci-" + "u" * 16, "é"]
)
def test_what_cant_be_a_code_has_no_digest(typed: str) -> None:
    assert digest_of(typed) is None


def test_codes_differ() -> None:
    assert len({new_code() for _ in range(1000)}) == 1000
