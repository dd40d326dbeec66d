"""The invariant of ``docs/explanation/reliability.md`` holds whatever breaks, all at once.

Short runs with few people; ``make faults`` has the long ones.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import pytest
from gochat_faults.breaking import CRASH_POINTS
from gochat_faults.scenario import Report, Scenario, run
from gochat_faults.site import StoreKind

pytestmark = pytest.mark.trio


def seed() -> int:
    """A different one each time, so that rare cases are found over time; or the requested one."""
    return int(os.environ.get("SEED") or ("1" if "CI" in os.environ else secrets.randbelow(10**6)))


def evidence(report: Report, directory: Path) -> str:
    """Return the violations, and the part of the history that concerns them or breaks something."""
    texts = [str(violation) for violation in report.violations]
    cids = set(re.findall(r"[0-9a-f]{32}|p\d+-\d+", " ".join(texts)))
    of_interest = re.compile("|".join([*cids, r'^\["(shaken|fault|restarted|ended)"']))
    lines = (directory / "history.jsonl").read_text().splitlines()
    return "\n".join([*texts, *filter(of_interest.search, lines)][:400])


async def test_nothing_is_lost_duplicated_or_reordered_whatever_breaks(tmp_path: Path) -> None:
    scenario = Scenario(
        seed=seed(), people=8, bare_people=2, node_people=1, duration=6, server_fault_every=1.2
    )  # fmt: skip
    print(f"SEED={scenario.seed}")
    report = await run(scenario, tmp_path)
    print(report)
    assert not report.violations, evidence(report, tmp_path)
    assert report.acknowledged > 100
    assert report.connections > 40


#: Every fault of two nodes and their Redis, including those that lose data.
REDIS_FAULTS = (
    "cut link", "kill", "kill redis", "rewind redis", "freeze link", "bomb", "freeze redis",
    "kill redis in a sync", "empty redis", "stop",
)  # fmt: skip


async def test_two_nodes_on_one_redis_are_one_chat_whatever_breaks(tmp_path: Path) -> None:
    scenario = Scenario(
        seed=seed(), store="redis", people=6, bare_people=2, node_people=1, pace=0.25,
        faults=REDIS_FAULTS, server_fault_every=0.5,
    )  # fmt: skip
    print(f"SEED={scenario.seed}")
    report = await run(scenario, tmp_path)
    print(report)
    assert not report.violations, evidence(report, tmp_path)
    assert report.acknowledged > 100
    assert {"Redis killed", "Redis frozen", "link frozen"} <= set(report.faults)


async def test_two_nodes_on_a_cluster_are_one_chat_whatever_breaks(tmp_path: Path) -> None:
    scenario = Scenario(
        seed=seed(), store="cluster", people=5, bare_people=2, node_people=1, pace=0.25,
        faults=("kill redis", "kill", "freeze redis", "bomb"), server_fault_every=0.5,
    )  # fmt: skip
    print(f"SEED={scenario.seed}")
    report = await run(scenario, tmp_path)
    print(report)
    assert not report.violations, evidence(report, tmp_path)
    assert report.acknowledged > 50
    assert {"Redis killed", "Redis frozen"} <= set(report.faults)


@pytest.mark.parametrize("waits", [False, True])
async def test_promotion_of_a_lagging_replica_loses_nothing_for_good(
    tmp_path: Path, waits: bool
) -> None:
    scenario = Scenario(
        seed=seed(), store="sentinel", waits=waits, people=5, bare_people=2, node_people=1,
        pace=0.25, faults=("promote behind",), server_fault_every=0.5,
    )  # fmt: skip
    print(f"SEED={scenario.seed}")
    report = await run(scenario, tmp_path)
    print(report)
    assert not report.violations, evidence(report, tmp_path)
    assert report.acknowledged > 50


@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_nothing_is_lost_wherever_the_server_is_killed(
    tmp_path: Path, store: StoreKind
) -> None:
    points = CRASH_POINTS[store]
    bombs = tuple(f"{point}:{min(often, 20)}" for point, often in points.items())
    scenario = Scenario(
        seed=seed(), store=store, people=3, bare_people=2, node_people=1, pace=0.06, bombs=bombs,
        breaks_network=False, duration=300,
    )  # fmt: skip
    print(f"SEED={scenario.seed}")
    report = await run(scenario, tmp_path)
    print(report)
    assert not report.violations, evidence(report, tmp_path)
    assert {what for what in report.faults if "died" in what} == {
        f"server died at {point}" for point in points
    }
