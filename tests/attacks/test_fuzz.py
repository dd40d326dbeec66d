"""A short run of ``make fuzz``, always with the same inputs; and that it finds what is broken."""

from __future__ import annotations

from typing import Any

import pytest
from gochat_fuzz import inputs, running, targets
from gochat_fuzz.running import SESSION, Found, run
from gochat_fuzz.targets import TARGETS

from gochat.protocol.messages import Payload
from gochat.server.signals import Signals

#: For less than a second each.
INPUTS = 100
OF_CODEC = 1000
SESSIONS = 40


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_are_answered_or_refused(target: str) -> None:
    run(target, seed=1, inputs=OF_CODEC if target == "codec" else INPUTS)


def test_server_answers_or_closes() -> None:
    run(SESSION, seed=1, inputs=SESSIONS)


def test_requests_of_the_conformance_suite_are_among_the_inputs() -> None:
    sent = {body.partition(b'"msg_type": "')[2].partition(b'"')[0] for body in inputs.conformance()}
    assert {kind.msg_type.encode() for kind in inputs.REQUESTS} <= sent


# -- what is broken is found -----------------------------------------------------------------------


def _broken(*_: Any) -> Payload:
    raise KeyError("a bug")


def test_exception_that_is_no_protocol_error_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "decode_request", _broken)
    with pytest.raises(Found, match=r"codec, seed 7.*KeyError(?s:.*)make fuzz SEED=7 TARGET=codec"):
        run("codec", seed=7, inputs=INPUTS)


@pytest.mark.parametrize("bound", ["CPU", "MEMORY"])
def test_input_beyond_a_bound_is_found(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, bound, -1)
    with pytest.raises(Found, match=r"it took|it held"):
        run("text", seed=1, inputs=INPUTS)


async def _bug(*_: Any) -> None:
    raise ValueError("a bug")


async def _no_answer(*_: Any) -> None:
    pass


@pytest.mark.parametrize("fault", [_bug, _no_answer])
def test_request_that_fails_or_is_not_answered_is_found(
    fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Signals, "ping", fault)
    monkeypatch.setattr("gochat_fuzz.sessions.PATIENCE", 0.5)
    with pytest.raises(Found, match=r"INTERNAL|internal|TooSlow"):
        run(SESSION, seed=1, inputs=SESSIONS)
