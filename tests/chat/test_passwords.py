"""The prepared form of a password, and the cost of a refusal."""

from __future__ import annotations

import time
import unicodedata

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile

from gochat.chat.passwords import PARTS, Passwords, Verdict, prepare
from gochat.errors import ChatError

OPAQUE_STRING = get_profile("OpaqueString")
CHEAP = argon2.PasswordHasher(1, 8, 1)


# -- the form -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [  # the examples of RFC 8265, section 4.3, and for its rules
        ("correct horse battery staple", "correct horse battery staple"),
        ("Correct Horse Battery Staple", "Correct Horse Battery Staple"),
        ("πß\u0e07\u0e31", "πß\u0e07\u0e31"),
        ("Jack of ♦s", "Jack of ♦s"),
        ("foo\u1680bar", "foo bar"),
        ("foo\u00a0bar\u3000baz\u202f", "foo bar baz "),
        ("cafe\u0301", "café"),
        ("\u212b", "Å"),
        ("ﬁＡ", "ﬁＡ"),  # compatibility forms and widths are unchanged
        ("\u1112\u1161\u11ab", "한"),
    ],
)
def test_password_is_prepared_by_the_rules_of_the_rfc(typed: str, prepared: str) -> None:
    assert prepare(typed) == prepared
    assert prepare(prepared) == prepared


@given(st.text(max_size=24))
def test_allowed_password_is_prepared_as_by_the_library(typed: str) -> None:
    try:
        enforced = OPAQUE_STRING.enforce(typed)
    except UnicodeEncodeError:
        return
    assert prepare(typed) == enforced


def test_every_kind_of_space_becomes_an_ordinary_one() -> None:
    for code in range(0x110000):
        if unicodedata.category(chr(code)) == "Zs":
            assert prepare(f"a{chr(code)}b") == "a b"


@given(st.text(max_size=200))
def test_preparing_is_idempotent(typed: str) -> None:
    assert prepare(prepare(typed)) == prepare(typed)


# -- lengths --------------------------------------------------------------------------------------


def test_length_is_that_of_the_prepared_form() -> None:
    passwords = Passwords(CHEAP)
    passwords.check("e\u0301" * 128)
    for wrong in ("e\u0301" * 7, "e\u0301" * 129, "e" * 129, "e\u0301" * 10_000):
        with pytest.raises(ChatError) as caught:
            passwords.check(wrong)
        assert caught.value.code == "bad_password"


def test_far_too_long_password_is_not_prepared() -> None:
    """Composing is quadratic in the length of a pile of marks."""
    passwords = Passwords(CHEAP)
    pile = "a" + "\u0301\u0316" * 200_000
    began = time.process_time()
    assert passwords.verify(None, pile) is Verdict.WRONG
    with pytest.raises(ChatError):
        passwords.check(pile)
    assert time.process_time() - began < 1, "composed, it would take minutes"
    assert len(pile) > PARTS * 128


# -- comparing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "typed"),
    [("cafe\u0301 au lait", "café au lait"), ("café\u00a0au lait", "cafe\u0301 au\u3000lait")],
)
def test_password_typed_in_any_form_is_the_same(chosen: str, typed: str) -> None:
    passwords = Passwords(CHEAP)
    for one, other in ((chosen, typed), (typed, chosen)):
        assert passwords.verify(passwords.hash(one), other) is Verdict.RIGHT
    assert passwords.verify(passwords.hash(chosen), "cafe au lait") is Verdict.WRONG


def test_old_hash_of_the_typed_form_still_works() -> None:
    passwords = Passwords(CHEAP)
    typed = "cafe\u0301\u00a0au lait"
    old = CHEAP.hash(typed)
    assert passwords.verify(old, typed) is Verdict.OUTDATED
    assert passwords.verify(old, "cafe\u0301\u00a0au  lait") is Verdict.WRONG
    assert passwords.verify(passwords.hash(typed), typed) is Verdict.RIGHT


# -- the cost of a refusal ------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["wrong password", "wrong\u00a0password"])
@pytest.mark.parametrize(
    "old",
    [
        argon2.PasswordHasher(1, 2048, 1).hash("right password"),
        argon2.PasswordHasher(8, 128, 1).hash("right password"),
        CHEAP.hash("right password"),
        argon2.PasswordHasher(8, 2048, 1).hash("right password"),
        "!",
    ],
    ids=["fewer passes", "less memory", "less of both", "today's", "not a hash"],
)
def test_wrong_password_costs_the_same_with_and_without_an_account(old: str, typed: str) -> None:
    """With any hash, measured in CPU time, nearly all of which argon2 takes."""
    passwords = Passwords(argon2.PasswordHasher(8, 2048, 1))
    costs: dict[str | None, list[float]] = {old: [], None: []}
    for _ in range(5):
        for password_hash, spent in costs.items():
            began = time.thread_time()
            assert passwords.verify(password_hash, typed) is Verdict.WRONG
            spent.append(time.thread_time() - began)
    ratio = min(costs[old]) / min(costs[None])
    assert 0.5 < ratio < 2, "without making up for it: an eighth, or less"
