"""What a client raises: one class for each code, and faults of its own apart from refusals."""

from __future__ import annotations

import pytest

from gochat import client
from gochat.client.errors import CLASSES, INVALID_REPLY, chat_error, copied
from gochat.errors import NOT_NOW, ChatError, ErrorCode, GochatError


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_has_one_class_that_programs_can_name(code: ErrorCode) -> None:
    error = chat_error(code.value, "no", retry_after=2.0, field="text", details={"max": 3})
    assert type(error) is CLASSES[code] is not ChatError
    assert getattr(client, type(error).__name__) is type(error)
    assert error.code is code
    assert (error.text, error.retry_after, error.field) == ("no", 2.0, "text")
    assert error.details == {"max": 3}
    assert str(error) == "no"


def is_temporary(code: ErrorCode) -> bool:
    return issubclass(CLASSES[code], client.TemporaryError)


def test_table_has_no_other_codes() -> None:
    assert set(CLASSES) == {*ErrorCode, INVALID_REPLY}


def test_code_of_a_newer_server_is_a_plain_refusal() -> None:
    error = chat_error("brand_new", "no", retry_after=2.0)
    assert type(error) is ChatError
    assert (error.code, error.retry_after) == ("brand_new", 2.0)


def test_what_means_not_now_says_when_to_try_again() -> None:
    others = {ErrorCode.SERVER_FULL, ErrorCode.SLOW_MODE}  # the outbox does not wait for these
    assert {code for code in ErrorCode if is_temporary(code)} == NOT_NOW | others
    error = chat_error(ErrorCode.RATE_LIMITED, "slowly")
    assert isinstance(error, client.RateLimited)
    assert error.retry_after == 1.0


def test_copy_is_equal_and_another_object() -> None:
    error = chat_error(ErrorCode.RATE_LIMITED, "slowly", retry_after=3.0, details={"limit": "x"})
    again = copied(error)
    assert again is not error
    assert vars(again) == vars(error)
    assert type(again) is type(error)


@pytest.mark.parametrize(
    "local",
    [
        client.AlreadyLoggedIn,
        client.ClientClosed,
        client.ConfigError,
        client.ConnectionLost,
        client.NotConnected,
        client.OutboxFull,
    ],
)
def test_fault_on_this_side_is_not_a_refusal(local: type[Exception]) -> None:
    assert issubclass(local, GochatError)
    assert not issubclass(local, ChatError)
