"""The scenario `siege` of `make bench`, small: who chats loses nothing, and the metrics show it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import Report
from benchmarks.siege import Siege, run


def test_siege_is_capped_counted_and_hinders_no_message(tmp_path: Path) -> None:
    siege = Siege(guessers=5, logins=8, strangers=60)
    few = {"anonymous_max": 40, "argon2_memory": 1024, "argon2_time": 1}
    found = run(Report(None), tmp_path, 20, siege, rate=100, seconds=0.5, apart=False, **few)
    assert found["nobody"].refusals.total() == 0
    outcome = found["all of them"]
    assert outcome.logged_in == siege.logins
    assert set(outcome.guesses) <= {"bad_credentials", "rate_limited", "busy", "server_full"}
    assert outcome.strangers.total() == siege.strangers
    answered = outcome.guesses["bad_credentials"]
    assert answered >= 1
    assert count(outcome.refusals, "bad_credentials") >= answered
    # One that is refused late was not sent it yet when it was asked.
    assert count(outcome.refusals, "server_full") >= max(1, outcome.strangers["server_full"])
    # Who was let in and made room for others was not refused: those are among what has ended.
    assert count(outcome.ended, "server_full") >= outcome.strangers["made room"]


def count(refusals: dict[str, int], label: str) -> int:
    return sum(number for labels, number in refusals.items() if label in labels)
