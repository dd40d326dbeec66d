"""The invariant of ``docs/explanation/reliability.md`` holds whatever breaks, all at once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from gochat_faults.scenario import CRASH_POINTS, Scenario, run

pytestmark = pytest.mark.trio


def seed() -> int:
    """Another one each time, so that time finds what is rare; the same one where that is asked."""
    return int(os.environ.get("SEED") or ("1" if "CI" in os.environ else secrets.randbelow(10**6)))


async def test_nothing_is_lost_doubled_or_reordered_whatever_breaks(tmp_path: Path) -> None:
    scenario = Scenario(seed=seed(), duration=6, pace=0.08, server_fault_every=1.2)
    report = await run(scenario, tmp_path)
    print(report)
    assert report.violations == [], f"SEED={scenario.seed}; the history is in {tmp_path}"
    assert report.acknowledged > 200
    assert report.connections > 50


async def test_nothing_is_lost_wherever_the_server_is_killed(tmp_path: Path) -> None:
    bombs = tuple(f"{point}:{min(often, 20)}" for point, often in CRASH_POINTS.items())
    scenario = Scenario(
        seed=seed(), people=4, bare_people=2, pace=0.005, bombs=bombs, breaks_network=False,
        duration=30,
    )  # fmt: skip
    report = await run(scenario, tmp_path)
    print(report)
    assert report.violations == [], f"the history is in {tmp_path}"
    assert {what for what in report.faults if "died" in what} == {
        f"server died at {point}" for point in CRASH_POINTS
    }
