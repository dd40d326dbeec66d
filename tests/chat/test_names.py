"""Which names are allowed, which are equal, and that any text is one or the other."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gochat.chat import names
from gochat.chat.names import MAX_NAME, MAX_TYPED
from gochat.errors import ChatError, ErrorCode


def outcome(name: str) -> str | ChatError:
    """Return how `name` is shown, or why it is refused."""
    try:
        return names.check(name)
    except ChatError as error:
        return error


def refusal(name: str) -> str:
    """Return why `name` is refused."""
    with pytest.raises(ChatError) as caught:
        names.check(name)
    assert caught.value.code == ErrorCode.BAD_NAME
    assert caught.value.field == "name"
    return caught.value.text


# -- what is allowed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "mei", "Mei", "m", "7", "mei7", "O0", "Zoë", "Łukasz", "Straße", "İrem", "Nguyễn",
        "jean-luc", "a.b", "a_b", "a..b", "x-_.x", "Hawaiʻi", "ʻokina",
        "陈小明", "梅", "mei梅", "梅-mei.7", "〇",
        "たろう", "タロウ", "山田たろう", "山田タロウTaro", "佐々木", "ラーメン", "〆",
        "김철수", "金철수kim", "ㄅㄆㄇ陈", "Дмитро", "Ґалаґан", "Мар'яна".replace("'", "ʼ"),
        "Αλέξης", "ᾳ", "שרה", "שָׂרָה", "محمد", "محمد۷", "هند1", "हिन्दी", "ไทย", "தமிழ்", "ქეთი",
        "Աննա", "བསྒྲུབས", "ᏣᎳᎩ", "𐐀𐐨",
    ],
)  # fmt: skip
def test_names_in_many_scripts_are_allowed_and_unchanged(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "at least one"),
        (" ", "spaces"),
        ("a b", "spaces"),
        ("mei ", "spaces"),
        ("a\u00a0b", "spaces"),
        ("a\u3000b", "spaces"),
        ("a\tb", "spaces"),
        ("a\x00b", "U+0000"),
        ("a\x1bb", "U+001B"),
        ("a\x7fb", "U+007F"),
        ("a\x9bb", "U+009B"),
        ("😀", "😀"),
        ("mei😀", "😀"),
        ("❤", "❤"),
        ("1\ufe0f\u20e3", "variation selector"),
        ("@mei", "'@'"),
        ("#mei", "'#'"),
        ("a,b", "','"),
        ("a:b", "':'"),
        ("a/b", "'/'"),
        ("a'b", "'"),
        ("a’b", "’"),
        ("<b>", "'<'"),
        ("a~b", "'~'"),
        ("-a", "begins and ends"),
        ("a-", "begins and ends"),
        (".", "begins and ends"),
        ("a.", "begins and ends"),
        ("_", "begins and ends"),
        ("__init__", "begins and ends"),
        ("l·l", "·"),
        ("צה״ל", "״"),
        ("ザ・タロウ", "・"),
        ("²", "²"),
        ("①", "①"),
        ("Ⅷ", "Ⅷ"),
        ("ℌ", "ℌ"),
        ("𝓂𝑒𝒾", "𝓂"),
        ("ﬁ", "ﬁ"),
        ("Ĳ", "Ĳ"),
        ("ǅ", "ǅ"),
        ("ﷺ", "ﷺ"),
        ("ㄱ", "ㄱ"),
        ("ᄀ", "ᄀ"),
        ("a\u0378b", "U+0378"),
        ("a\ue000b", "U+E000"),
        ("a\uffffb", "U+FFFF"),
    ],
)
def test_disallowed_characters_are_refused_by_name(name: str, why: str) -> None:
    assert why in refusal(name)


def test_half_a_surrogate_pair_is_refused() -> None:
    for half in ("\ud800", "\udfff", "a\udc00", "\ud800\udc00"):
        assert "U+D" in refusal(half)


@pytest.mark.parametrize(
    "char",
    [
        "\u00ad", "\u034f", "\u061c", "\u115f", "\u17b4", "\u180e", "\u200b", "\u200c", "\u200d",
        "\u200e", "\u200f", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\u3164", "\ufe0f",
        "\ufeff", "\uffa0", "\ufff9", "\U000e0001", "\U000e0041", "\U000e0100",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["a{}b", "{}a", "a{}", "{}", "ب{}ب", "क\u094d{}ष"])
def test_invisible_characters_are_refused_anywhere(char: str, around: str) -> None:
    refusal(around.format(char))


@pytest.mark.parametrize("sign", "ˈʹˊˋˌːꜝꜟꞈⸯǀǁǂǃꞏ")
def test_letters_that_look_like_punctuation_are_refused(sign: str) -> None:
    assert repr(sign) in refusal(f"mei{sign}")
    refusal(sign)


# -- lookalikes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        ("pаypal", "Cyrillic and Latin"),
        ("admіn", "Cyrillic and Latin"),
        ("Αlice", "Greek and Latin"),
        ("bοb", "Greek and Latin"),
        ("аο", "Cyrillic and Greek"),
        ("meі梅", "Cyrillic and Han"),
        ("оսո", "Armenian and Cyrillic"),
        ("gօd", "Armenian and Latin"),
        ("Ꭺlice", "Cherokee and Latin"),
        ("ꓐob", "Latin and Lisu"),
        ("김タロウ", "Hangul and Katakana"),
        ("ㄅたろう", "Bopomofo and Hiragana"),
        ("ไทยa", "Latin and Thai"),
        ("mei۷", "Arabic and Latin"),
        ("о-mei", "Cyrillic and Latin"),
    ],
)
def test_scripts_that_look_alike_are_not_mixed(name: str, scripts: str) -> None:
    assert f"can't mix {scripts}" in refusal(name)


@pytest.mark.parametrize("imitation", ["раураӏ", "АННА", "ΝΙΚΟ", "ロ口", "aIice", "rnei", "0O"])
def test_lookalikes_that_are_not_covered_are_allowed(imitation: str) -> None:
    assert names.check(imitation) == imitation


@pytest.mark.parametrize("name", ["abגd", "גabc", "אבa", "a٣", "٣", "٣ب۳", "1א", "א-"])
def test_directions_are_not_mixed(name: str) -> None:
    refusal(name)


@pytest.mark.parametrize("name", ["\u0301mei", "\u0345", "\u093fक", "\u20ddx", "\u0e31"])
def test_name_cannot_begin_with_a_mark(name: str) -> None:
    refusal(name)


@pytest.mark.parametrize(
    "name", ["a" + "\u0323\u0302\u0316\u0335\u0317", "a\u0338\u0338", "e\u0301\u0301"]
)
def test_piles_of_marks_are_refused(name: str) -> None:
    assert "marks" in refusal(name)


# -- length ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "letter", ["a", "é", "e\u0301", "梅", "가", "\u1112\u1161\u11ab", "ｍ", "𐐀"]
)
def test_length_is_counted_in_displayed_characters(letter: str) -> None:
    shown = names.check(letter * MAX_NAME)
    assert len(shown) == MAX_NAME
    assert f"at most {MAX_NAME}" in refusal(letter * (MAX_NAME + 1))


def test_far_too_long_name_is_not_processed() -> None:
    before = names._forms.cache_info()
    assert f"at most {MAX_NAME}" in refusal("a" * (MAX_TYPED + 1))
    with pytest.raises(ChatError):
        names.fold("@" * 10_000_000)
    assert names._forms.cache_info() == before


class Profiles:
    """The two profiles; records the lengths of the texts they are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: list[int] = []
        for profile in (names._PRESERVED, names._FOLDED):
            monkeypatch.setattr(profile, "enforce", partial(self._enforce, profile.enforce))
        names._forms.cache_clear()

    def _enforce(self, enforce: Callable[[str], str], name: str) -> str:
        self.lengths.append(len(name))
        return enforce(name)


@pytest.mark.parametrize(
    "unit",
    ["・漢", "٠", "۰", "ب٠", "a", "·l", "\u200d", "e\u0301", "\u0301\u0316", "İ", "ﷺ", "ﾀﾞ", "Σ"],
)
@pytest.mark.parametrize("length", [1, MAX_NAME, MAX_NAME + 1, MAX_TYPED, MAX_TYPED + 1, 65536])
def test_profile_is_given_no_more_than_the_length_of_a_name(
    unit: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is quadratic in the length of a text: 22 ms for 127 katakana dots."""
    profiles = Profiles(monkeypatch)
    name = (unit * length)[:length]
    for function in (outcome, names.possible_key):
        function(name)
    assert max(profiles.lengths, default=0) <= MAX_NAME


def test_profile_is_applied_last_and_not_to_mentions(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = Profiles(monkeypatch)
    for refused in ("ザ・タロウ", "l·l", "a\u200db", "аlice", "é-", "é" * (MAX_NAME + 1)):
        refusal(refused)
    names.possible_key("Zoë")
    assert names.check("mei") == "mei"
    assert profiles.lengths == []
    assert names.check("Zoë") == "Zoë"
    assert profiles.lengths == [3, 3]  # as shown, and in lower case


# -- which are equal ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mei", "mEI"),
        ("ＭＥＩ", "mei"),
        ("ﾀﾛｳ", "タロウ"),
        ("e\u0301va", "ÉVA"),
        ("STRAẞE", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ДМИТРО", "дмитро"),
        ("Ა", "ა"),
        ("Ᏼ", "ᏼ"),
        ("İrem", "irem"),
        ("IREM", "irem"),
        ("mei\u0307", "mei"),  # a letter with a dot looks the same with a second dot
        ("Jan", "j\u0307an"),
        ("\u1112\u1161\u11ab", "한"),
        ("Å", "A\u030a"),
    ],
)
def test_names_that_differ_in_case_width_or_composition_are_equal(one: str, other: str) -> None:
    assert names.fold(one) == names.fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("mei", "méi"), ("straße", "strasse"), ("a-b", "a_b"), ("梅", "霉"), ("たろう", "タロウ")],
)
def test_names_that_read_differently_are_different(one: str, other: str) -> None:
    assert names.fold(one) != names.fold(other)


# -- any text -------------------------------------------------------------------------------------

#: Letters of names, and troublesome characters more often than by chance.
_TROUBLE = (
    "aAｍéßẞİıſǅσςΣа山ーロ가אب٣۳ᾳĲ１-_. @#,\u0301\u0307\u0345\u0316\u094d\u200c\u200d\u202e\ud800"
)
any_text = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from(_TROUBLE), max_size=8),
    st.text(st.characters(categories=["L", "N", "M"]), min_size=1, max_size=4),
    st.text(st.characters(max_codepoint=0x24F), min_size=1, max_size=8),
    st.text(st.characters(categories=["Cs", "Lu"]), max_size=3),
)


@given(any_text)
@example("a\u0345")
@example("Α\u0345")
@example("ΑΣ.")
@example("i\u0307\u0323")
def test_any_text_is_a_name_or_a_bad_name(text: str) -> None:
    shown = outcome(text)
    if isinstance(shown, ChatError):
        assert shown.code == ErrorCode.BAD_NAME
        assert shown.text.isprintable()
        with pytest.raises(ChatError):  # then it is not a key either
            names.fold(text)
        return
    key = names.fold(text)
    assert names.check(shown) == shown
    assert names.check(key) == key
    assert key == names.fold(key) == names.fold(shown) == names.known(shown) == names.known(key)
    for form in (shown, key):
        assert 1 <= len(form) <= MAX_NAME
        assert form.isprintable()
        assert not set(form) & set(" ,@#/:")
        assert unicodedata.is_normalized("NFC", form)
        form.encode()


@given(any_text)
@example("a" * (MAX_TYPED + 1))
def test_possible_key_of_a_name_is_its_key(text: str) -> None:
    possible = names.possible_key(text)
    if not isinstance(outcome(text), ChatError):
        assert possible == names.fold(text)
    assert possible is None or 1 <= len(possible) <= MAX_NAME


_WAYS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "swapped": str.swapcase,
    "composed": partial(unicodedata.normalize, "NFC"),
    "decomposed": partial(unicodedata.normalize, "NFD"),
}


@given(any_text, st.sampled_from(sorted(_WAYS)))
def test_other_case_or_composition_of_a_name_is_the_same_name(text: str, way: str) -> None:
    written = _WAYS[way](text)
    assume(not isinstance(outcome(text), ChatError))
    assume(not isinstance(outcome(written), ChatError))
    # Upper case turns some letters into others (ß into SS, ı into I), which also look different.
    assume("composed" in way or written.lower() == text.lower())
    assert names.fold(written) == names.fold(text)


def test_every_character_alone_or_inside_is_a_name_or_a_bad_name() -> None:
    allowed = 0
    # Without Han, Hangul and private use (thousands of similar ones), and those beyond the emoji.
    for number in (*range(0x4000), *range(0xA000, 0xAC10), *range(0xD7A0, 0xE010),
                   *range(0xF8F0, 0x10500), *range(0x1F000, 0x1FB00)):  # fmt: skip
        for text in (chr(number), f"a{chr(number)}b"):
            shown = outcome(text)
            if isinstance(shown, ChatError):
                continue
            allowed += 1
            assert shown.isprintable()
            assert names.fold(shown) == names.known(shown) == names.fold(names.fold(text))
    assert allowed > 10_000
