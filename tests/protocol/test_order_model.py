"""The order of one sender's messages, proved on a model: see `tests/support/order_model.py`."""

import pytest
from order_model import Bounds, Refusal, Rule, explore


@pytest.mark.parametrize(
    ("refusals", "cuts", "final"),
    [
        (1, 1, Refusal.NEVER),
        (2, 0, Refusal.NEVER),
        (1, 1, Refusal.ALWAYS),
        (0, 1, Refusal.FROM_THEN_ON),
        (1, 1, Refusal.FROM_THEN_ON),
    ],
)
def test_numbered_messages_are_in_order_once_and_arrive(
    refusals: int, cuts: int, final: Refusal
) -> None:
    explored = explore(Bounds(Rule.NUMBERS, refusals=refusals, cuts=cuts, final=final))
    assert explored.states > 1000 or not cuts
    assert (explored.wrong, explored.stuck) == (0, 0)


@pytest.mark.parametrize("cuts", [0, 1])
def test_without_numbers_a_refusal_breaks_the_order(cuts: int) -> None:
    assert explore(Bounds(Rule.NONE, refusals=1, cuts=cuts)).wrong > 0


def test_without_numbers_and_refusals_a_cut_alone_is_harmless() -> None:
    explored = explore(Bounds(Rule.NONE, cuts=1))
    assert (explored.wrong, explored.stuck) == (0, 0)


def test_a_rule_before_the_cid_refuses_what_is_committed() -> None:
    bounds = Bounds(Rule.NUMBERS, cuts=1, final=Refusal.FROM_THEN_ON, is_cid_first=False)
    assert explore(bounds).wrong > 0


def test_a_refusal_whose_cause_goes_away_is_the_one_exception() -> None:
    # Documented: if the reply that refuses is lost and its cause is gone by the repetition, a later
    # message may be first.
    assert explore(Bounds(Rule.NUMBERS, cuts=1, final=Refusal.AT_FIRST)).wrong > 0
