"""Which language the app has, and what it does with translations that are damaged or wrong."""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest
from babel.messages import Catalog
from messages import compiled
from pilots import OpenApp, screen_text, settle, type_text, until
from pseudo import speaking

from gochat.client.errors import chat_error
from gochat.errors import ErrorCode
from gochat.tui import language, start
from gochat.tui.actions.session import Credentials
from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.dialogs.palette import CommandPalette
from gochat.tui.dialogs.settings import SettingsScreen
from gochat.tui.language import _, ngettext, own_name, pgettext, translated, use
from gochat.tui.model.error_texts import error_text
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.text.dates import short_date

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
        assert "Language" in screen_text(pilot)
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


NOON = 1_795_435_200.0


def scripted() -> ScriptedClient:
    """Return a client to whom everything has happened that the log and the panes have words for."""
    client = ScriptedClient(now=lambda: NOON)
    client.arrive("mei", "tomas")
    client.add_room("#garden", "What grows", members=("mei", "tomas"), joined=True)
    for name in ("ann", "ben", "cleo", "dan", "ada"):
        client.say("#garden", name, "", kind="join")
    seq = client.say("#garden", "mei", "roses").seq
    client.say("#garden", "mei", "roses, and more", kind="edit", ref=seq)
    client.say("#garden", "tomas", "", kind="delete", ref=client.say("#garden", "tomas", "x").seq)
    client.say("@mei", "mei", "are you there?")
    return client


async def in_chinese(state: Path, begin: str) -> list[str]:
    """Start the app in a language, and choose Chinese where that is another one; return what the
    screen shows: the settings, and the chat."""
    use(begin)
    client = scripted()
    app = GochatApp(
        state=StateDirectory(state / begin), open_client=opener(client),
        preferences=Preferences(Settings(language=begin), path=state / "tui.toml"),
        credentials=Credentials("gochat://127.0.0.1:8889", "ada", "a good password"),
        clock=lambda: 0.0, now=lambda: NOON,
    )  # fmt: skip
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        screen = app.screen
        assert isinstance(screen, ChatScreen)
        screen.open_conversation("#garden")
        client.type("#garden", "mei")
        await until(pilot, lambda: "roses, and more" in screen_text(pilot))
        await type_text(pilot, "/cre")
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        await pilot.press("down")
        if begin != "zh_CN":
            await pilot.press("enter")
        await until(pilot, lambda: "简体中文" in screen_text(pilot))
        shown = [screen_text(pilot)]
        await pilot.press("escape")
        await settle(pilot)
        return [*shown, screen_text(pilot)]


@pytest.mark.anyio
async def test_another_language_holds_at_once(tmp_path: Path) -> None:
    """Every text is the one of an app that was started in it: in the log and the panes, the field,
    what completes it, the keys, and the settings themselves."""
    changed = await in_chinese(tmp_path, "en")
    started = await in_chinese(tmp_path, "zh_CN")
    assert changed[0].splitlines() == started[0].splitlines()
    assert changed[1].splitlines() == started[1].splitlines()
    assert "在线" in changed[1]


@pytest.mark.anyio
async def test_another_language_moves_nothing(open_app: OpenApp, client: ScriptedClient) -> None:
    """Whoever reads the past goes on reading there; what is written and selected stays."""
    for number in range(100):
        client.say("#lobby", "mei", f"message {number}")
    async with open_app() as pilot:
        app = pilot.app
        assert isinstance(app, GochatApp)
        assert isinstance(app.screen, ChatScreen)
        log = app.screen.log_view
        await until(pilot, lambda: "message 99" in screen_text(pilot))
        await type_text(pilot, "a draft")
        log.focus()
        await pilot.press("pageup", "up", "up")
        await settle(pilot)
        selected = log.selected_key
        numbers = re.findall(r"message \d+", screen_text(pilot))
        assert "message 99" not in numbers
        app._apply(Settings(language="zh_CN"))
        await settle(pilot)
        assert re.findall(r"message \d+", screen_text(pilot)) == numbers
        assert log.selected_key == selected is not None
        assert app.screen.composer.input.text == "a draft"
        assert "在线" in screen_text(pilot)


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


def test_numbers_have_the_separators_of_the_language(tmp_path: Path) -> None:
    """What counts something; not what only names it, as a year does."""
    use("en")
    many = ngettext("{n} character too many", "{n} characters too many", 1_195_999)
    assert many == "1,195,999 characters too many"
    assert [_("{n} s", n=n) for n in (999, 1000)] == ["999 s", "1,000 s"]
    assert short_date(date(2026, 11, 30), year=True) == "30 Nov 2026"
    error = chat_error(ErrorCode.UNKNOWN_MESSAGE, "", details={"conv": "#lobby", "seq": 12345})
    use("zh_CN")
    assert "12345" in error_text(error)
    assert "1,195,999" in ngettext("{n} character left", "{n} characters left", 1_195_999)
    catalogue = Catalog()
    catalogue.add(",", ".", context="between thousands")
    file = tmp_path / "de" / "LC_MESSAGES" / "gochat.mo"
    file.parent.mkdir(parents=True)
    file.write_bytes(compiled(catalogue))
    use("de", tmp_path)
    assert _("{n} s", n=1_000_000) == "1.000.000 s"


def test_languages_have_their_own_names() -> None:
    names = {one: own_name(one) for one in language.languages()}

    assert names["en"] == "English"
    assert names["zh_CN"] == "简体中文"
    use("zh_CN")
    assert pgettext("how long ago", "now") == "刚刚"
