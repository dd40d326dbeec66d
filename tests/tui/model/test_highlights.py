"""Words of the person's own: where they are found, and where not."""

from __future__ import annotations

import time

import pytest

from gochat.tui.model.highlights import Highlights

WORDS = Highlights(["deploy", "on call", "straße", "c++", "部署", "İzmir"])


@pytest.mark.parametrize(
    "text",
    [
        "deploy", "we DEPLOY now", "a (deploy).", "re-deploy", "在deploy后", "who is on  call?",
        "on\ncall", "auf der Strasse", "C++ it is", "今天部署完成", "**deploy**", "i̇zmir",
        "`x` and deploy", "https://x.org/ deploy",
    ],
)  # fmt: skip
def test_word_is_found(text: str) -> None:
    assert WORDS.are_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "deployed", "redeploy", "deploy2", "_deploy_", "oncall", "`deploy`",
        "https://x.org/deploy", "```\ndeploy\n```", "c+", "部 署", "éxon callé",
    ],
)  # fmt: skip
def test_word_is_not_found(text: str) -> None:
    assert not WORDS.are_in(text)


def test_accents_make_no_difference_in_how_they_are_composed() -> None:
    assert Highlights(["cafe\u0301"]).are_in("un café")


@pytest.mark.parametrize("words", [(), ("", "  ")])
def test_no_words_are_in_no_text(words: tuple[str, ...]) -> None:
    assert not Highlights(words).are_in("anything")


def test_cost_is_linear_in_the_text() -> None:
    words = Highlights([f"word{number} and more" for number in range(64)])

    def spent(text: str) -> float:
        began = time.process_time()
        words.are_in(text)
        return time.process_time() - began

    for hostile in ("word6 and ", "on ", "部", "`"):
        once, twice = (min(spent(hostile * n) for _ in range(5)) for n in (2000, 4000))
        assert twice < 4 * once + 0.01
