"""``python -m gochat_faults``: break things for a long time; what ``make faults`` runs."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import trio

from gochat_faults.scenario import NotHealed, Report, Scenario, run

#: Seconds of chat between two checks. Long enough to kill a server many times, short enough to find
#: a violation soon, in a readable history.
ROUND = 40.0
#: Every fourth round has limits that refuse many messages, to check that retries keep the order.
#: Bare clients can't guarantee that, so they don't take part.
STRICT = {"limits.burst": 10, "limits.per_second": 10}


def main() -> int:
    """Run scenarios with increasing seeds until the time is over; return 1 if anything was
    wrong."""
    parser = argparse.ArgumentParser(prog="python -m gochat_faults", description=__doc__)
    parser.add_argument("--duration", type=float, default=float(os.environ.get("DURATION") or 60))
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or secrets.randbelow(10**6))
    )
    parser.add_argument(
        "--store",
        choices=("sqlite", "redis", "sentinel", "cluster"),
        default=os.environ.get("STORE") or "sqlite",
    )
    parser.add_argument("--pace", type=float, default=0.05, help="seconds between messages")
    parser.add_argument("--keep", type=Path, help="directory for the histories of bad rounds")
    args = parser.parse_args()
    keep = args.keep or Path(tempfile.mkdtemp(prefix="gochat-faults-"))
    deadline = time.monotonic() + args.duration
    total, rounds, is_good, seed = Report(seed=args.seed), 0, True, args.seed
    print(f"seed {seed}: repeat with SEED={seed} DURATION={args.duration:g}", flush=True)
    while (left := deadline - time.monotonic()) > 5 or not rounds:
        directory = keep / f"seed-{seed}"
        directory.mkdir(parents=True)
        scenario = Scenario(
            seed=seed,
            duration=max(1.0, min(ROUND, left - 5)),
            pace=args.pace,
            server_fault_every=3.0,
            store=args.store,
            waits=args.store == "sentinel" and seed % 2 == 1,
        )
        if rounds % 4 == 3:
            scenario = replace(scenario, people=20, bare_people=0, settings=STRICT)
        try:
            report = trio.run(run, scenario, directory)
        except* NotHealed as group:
            is_good = False
            print(f"seed {seed}: NOT HEALED: {group.exceptions}; see {directory}", flush=True)
        else:
            print(report, flush=True)
            for violation in report.violations:
                print(f"  VIOLATION {violation}; see {directory}", flush=True)
            is_good = is_good and not report.violations
            _add(total, report)
            if not report.violations:
                shutil.rmtree(directory)
        rounds += 1
        seed += 1
    print(f"{rounds} rounds in all: {total}")
    return 0 if is_good else 1


def _add(total: Report, report: Report) -> None:
    for name in (
        "seconds", "starting", "said", "acknowledged", "repeated_acks", "entries", "taken", "seen",
        "clients", "connections",
    ):  # fmt: skip
        setattr(total, name, getattr(total, name) + getattr(report, name))
    for name in ("healed_in", "ack_p50", "ack_p99"):  # the worst of each
        setattr(total, name, max(getattr(total, name), getattr(report, name)))
    total.faults += report.faults
    total.violations += report.violations


if __name__ == "__main__":
    sys.exit(main())
