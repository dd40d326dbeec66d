"""The invariant of ``docs/explanation/reliability.md`` holds whatever breaks, all at once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from gochat_faults.scenario import CRASH_POINTS, Scenario, run

# Longer than other tests, so that what did not heal is said by name before the time is over.
pytestmark = [pytest.mark.trio, pytest.mark.timeout(180)]


def seed() -> int:
    """Another one each time, so that time finds what is rare; the same one where that is asked."""
    return int(os.environ.get("SEED") or ("1" if "CI" in os.environ else secrets.randbelow(10**6)))


async def test_nothing_is_lost_doubled_or_reordered_whatever_breaks(tmp_path: Path) -> None:
    scenario = Scenario(seed=seed(), duration=6, pace=0.08, server_fault_every=1.2)
    print(f"SEED={scenario.seed}")
    report = await run(scenario, tmp_path)
    print(report)
    assert report.violations == [], f"the history is in {tmp_path}"
    assert report.acknowledged > 100
    assert report.connections > 40


async def test_nothing_is_lost_wherever_the_server_is_killed(tmp_path: Path) -> None:
    bombs = tuple(f"{point}:{min(often, 20)}" for point, often in CRASH_POINTS.items())
    scenario = Scenario(
        seed=seed(), people=4, bare_people=2, pace=0.005, bombs=bombs, breaks_network=False,
        duration=60,
    )  # fmt: skip
    print(f"SEED={scenario.seed}")
    report = await run(scenario, tmp_path)
    print(report)
    assert report.violations == [], f"the history is in {tmp_path}"
    assert {what for what in report.faults if "died" in what} == {
        f"server died at {point}" for point in CRASH_POINTS
    }
