"""Errors in the language of the app: by code and details, by text, or as they came."""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from typing import Any

import pytest
from pseudo import speaking

from gochat.client import ConnectionLost
from gochat.client.errors import chat_error
from gochat.errors import ConfigError, ErrorCode
from gochat.tui import language
from gochat.tui.model.error_texts import error_text, reason_text


@pytest.fixture
def _chinese() -> Iterator[None]:
    with speaking(gettext.NullTranslations()):
        language.use("zh_CN")
        yield


chinese = pytest.mark.usefixtures("_chinese")


def test_in_english_an_error_says_what_the_server_said() -> None:
    error = chat_error(
        ErrorCode.TEXT_TOO_LONG, "a topic is too long", details={"max": 200, "length": 300}
    )
    assert error_text(error) == "a topic is too long"


@chinese
@pytest.mark.parametrize(
    ("code", "details", "shown"),
    [
        ("text_too_long", {"max": 200, "length": 300}, "文本共 300 个字符，上限为 200"),
        ("name_taken", {"name": "mei", "rule": "taken"}, "名字 'mei' 已被使用"),
        ("not_a_member", {"conv": "#attic", "name": "mei"}, "mei 不在 #attic 中"),
        ("not_a_member", {"conv": "#attic"}, "你不在 #attic 中：请先加入"),
        ("banned", {"conv": "#attic"}, "你被禁止进入 #attic"),
        ("banned", {"conv": "#attic", "reason": "spam"}, "你被禁止进入 #attic：spam"),
        (
            "banned",
            {"conv": "#attic", "until": 1_795_435_200_000, "reason": "spam"},
            "你被禁止进入 #attic，至 2026年11月23日 12:00：spam",
        ),
        ("rate_limited", {"limit": "login_line"}, "此地址登录失败次数过多：请在 7 秒后重试"),
        ("rate_limited", {"limit": "something_new"}, "请求过多：请在 7 秒后重试"),
    ],
)
def test_an_error_is_told_by_its_code_and_details(
    code: str, details: dict[str, Any], shown: str
) -> None:
    assert error_text(chat_error(code, "in English", retry_after=6.2, details=details)) == shown


@chinese
@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("something_new", {}),
        ("bad_name", {"rule": "something_new"}),
        ("name_taken", {"rule": "taken"}),
        ("text_too_long", {}),
        ("not_permitted", {}),
    ],
)
def test_an_error_that_is_not_known_stays_as_it_came(code: str, details: dict[str, Any]) -> None:
    """That of a newer server, or one without the details that its message has."""
    assert error_text(chat_error(code, "in English", details=details)) == "in English"


@chinese
def test_codes_that_stand_for_several_things_are_told_by_their_text() -> None:
    wrong = chat_error(ErrorCode.BAD_INVITE, "an invite code is required to register")
    assert error_text(wrong) == "注册需要邀请码"


@chinese
def test_what_the_client_says_is_told_by_its_text() -> None:
    refused = ConnectionLost("no server answers at [::1]:8889: is the server running?")
    assert error_text(refused) == "[::1]:8889 没有服务器应答：服务器是否在运行？"
    busy = ConfigError("the outbox /tmp/a b can't be used: another program has it open")
    assert error_text(busy) == "无法使用发件箱 /tmp/a b：另一个程序正在使用它"


@chinese
def test_a_reason_in_an_error_is_told_too() -> None:
    assert reason_text("not connected: the server is closing") == "未连接：服务器正在关闭"
    assert reason_text("not connected: who knows") == "未连接：who knows"
    assert reason_text("{0.__class__}") == "{0.__class__}"
