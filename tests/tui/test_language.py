"""Which language the app has, and what it does with translations that are damaged or wrong."""

from __future__ import annotations

import gettext
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from babel.messages import Catalog
from messages import compiled
from pilots import OpenApp, screen_text, settle, type_text, until
from pseudo import speaking

from gochat.tui import language, start
from gochat.tui.dialogs.palette import CommandPalette
from gochat.tui.dialogs.settings import SettingsScreen
from gochat.tui.language import _, ngettext, own_name, pgettext, translated, use
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.profile.state import StateDirectory

CHINESE = "退出登录"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A test leaves the language as it was."""
    with speaking(gettext.NullTranslations()):
        yield


def add_translation(own: Path, name: str, texts: Mapping[str, str]) -> Path:
    """Put a catalogue with these translations below `own`, as a person does."""
    catalogue = Catalog()
    for message, text in texts.items():
        catalogue.add(message, text)
    file = own / name / "LC_MESSAGES" / "gochat.mo"
    file.parent.mkdir(parents=True)
    file.write_bytes(compiled(catalogue))
    return file


@pytest.mark.parametrize(
    ("chosen", "environ"),
    [
        ("zh_CN", {}),
        ("zh-CN", {"LANG": "de_DE.UTF-8"}),
        ("zh", {}),
        ("", {"LANG": "zh_CN.UTF-8"}),
        ("", {"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_GB.UTF-8"}),
        ("", {"LC_ALL": "zh_CN.UTF-8", "LANG": "C.UTF-8"}),
        ("", {"LANGUAGE": "xx:zh_CN:en", "LANG": "en_GB.UTF-8"}),
    ],
)
def test_chinese_where_it_is_wanted(chosen: str, environ: Mapping[str, str]) -> None:
    assert use(chosen, environ=environ) == ""
    assert _("Log out") == CHINESE


@pytest.mark.parametrize(
    ("chosen", "environ"),
    [
        ("", {}),
        ("en", {"LANG": "zh_CN.UTF-8"}),
        ("tlh", {"LANG": "zh_CN.UTF-8"}),
        ("../../etc", {}),
        ("", {"LANG": "C.UTF-8"}),
        ("", {"LANG": "fr_FR.UTF-8"}),
        ("", {"LANGUAGE": "en_GB:zh_CN", "LANG": "zh_CN.UTF-8"}),
    ],
)
def test_english_otherwise(chosen: str, environ: Mapping[str, str]) -> None:
    """Also where English comes before Chinese, although it has no catalogue."""
    assert use(chosen, environ=environ) == ""
    assert _("Log out") == "Log out"


def test_a_translation_is_only_a_file(tmp_path: Path) -> None:
    add_translation(tmp_path, "eo", {"Log out": "Adiaŭi", "Copied.": ""})

    assert use("eo", tmp_path) == ""
    assert _("Log out") == "Adiaŭi"
    assert _("Copied.") == "Copied."
    assert "eo" in language.languages(tmp_path)


def test_an_own_translation_comes_before_the_shipped_one(tmp_path: Path) -> None:
    add_translation(tmp_path, "zh_CN", {"Log out": "再见"})

    assert use("zh_CN", tmp_path) == ""
    assert (_("Log out"), _("Log in")) == ("再见", "登录")


@pytest.mark.parametrize("content", [b"", b"not a catalogue", b"\xde\x12\x04\x95" + b"\xff" * 40])
def test_a_damaged_translation_is_reported(tmp_path: Path, content: bytes) -> None:
    file = add_translation(tmp_path, "eo", {})
    file.write_bytes(content)

    assert str(file) in use("eo", tmp_path)
    assert _("Log out") == "Log out"
    assert own_name("eo", tmp_path) == "eo"


def test_a_damaged_translation_hides_no_other(tmp_path: Path) -> None:
    add_translation(tmp_path, "zh_CN", {}).write_bytes(b"nothing")

    assert use("zh_CN", tmp_path) != ""
    assert _("Log out") == CHINESE


@pytest.mark.parametrize("text", ["{nobody}", "{}", "{person", "{person.x}", "{person:d}"])
def test_wrong_placeholders_leave_the_message_in_english(tmp_path: Path, text: str) -> None:
    add_translation(tmp_path, "eo", {"{person} is invited.": text})
    use("eo", tmp_path)

    assert _("{person} is invited.", person="mei") == "mei is invited."
    assert translated("{person} is invited.", person="mei") is None


def test_values_are_not_read_as_placeholders() -> None:
    assert _("{person} is invited.", person="{0.__class__}") == "{0.__class__} is invited."


def preferences(tmp_path: Path, toml: str, chosen: str = "") -> tuple[str, ...]:
    """Start as the app does; return what is reported."""
    config = tmp_path / "tui.toml"
    config.write_text(toml)
    state = StateDirectory(tmp_path / "state")
    return start._preferences(state, config, chosen).problems


def test_the_configuration_chooses_the_language(tmp_path: Path) -> None:
    """What is wrong with it is said in that language."""
    problems = preferences(tmp_path, 'language = "zh_CN"\nthem = "nord"')

    assert "未知的设置 'them'；是否指 'theme'？" in problems


def test_the_option_comes_before_the_configuration(tmp_path: Path) -> None:
    preferences(tmp_path, 'language = "zh_CN"', "en")

    assert _("Log out") == "Log out"


def test_a_damaged_translation_does_not_keep_the_app_from_starting(tmp_path: Path) -> None:
    add_translation(tmp_path / "locale", "eo", {}).write_bytes(b"nothing")

    assert any("eo" in problem for problem in preferences(tmp_path, 'language = "eo"'))


@pytest.mark.anyio
async def test_the_settings_keep_another_language(
    open_app: OpenApp, state: StateDirectory, tmp_path: Path
) -> None:
    add_translation(tmp_path / "locale", "eo", {})
    async with open_app(preferences=Preferences(path=tmp_path / "tui.toml")) as pilot:
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        await type_text(pilot, "language")
        assert "Language, from the next start" in screen_text(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert state.load_settings(Settings).language == "en"
        await pilot.press("enter")
        await settle(pilot)
        assert state.load_settings(Settings).language == "eo"
        await pilot.press("enter")
        await settle(pilot)
        assert "简体中文" in screen_text(pilot)
    assert state.load_settings(Settings).language == "zh_CN"


@pytest.mark.anyio
async def test_the_palette_finds_what_is_asked_for_in_english_too(open_app: OpenApp) -> None:
    """Somebody who types Latin letters need not change the input method."""
    async with open_app() as pilot:
        use("zh_CN")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        await type_text(pilot, "scroll up")
        await settle(pilot)
        assert "没有匹配项" in screen_text(pilot)
        assert isinstance(pilot.app.screen, CommandPalette)
        pilot.app.screen.field.value = "previous conv"
        await settle(pilot)
        assert "上一个会话" in screen_text(pilot)


def test_numbers_have_forms() -> None:
    use("en")
    assert [ngettext("{n} person", "{n} people", n) for n in (1, 2)] == ["1 person", "2 people"]
    use("zh_CN")
    assert [ngettext("{n} person", "{n} people", n) for n in (1, 2)] == ["1 人", "2 人"]
    assert ngettext("{n} person", "{n} people", 2000, n="999+") == "999+ 人"


def test_languages_have_their_own_names() -> None:
    names = {one: own_name(one) for one in language.languages()}

    assert names["en"] == "English"
    assert names["zh_CN"] == "简体中文"
    use("zh_CN")
    assert pgettext("how long ago", "now") == "刚刚"
