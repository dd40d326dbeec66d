"""``python -m gochat_fuzz``: look for inputs that break something; what ``make fuzz`` runs."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
import traceback

from gochat_fuzz.running import NAMES, SESSION, Found, run

#: Inputs of each target in a round. A round has a seed of its own, and a new server.
INPUTS = 2000
SESSIONS = 200


def main() -> int:
    """Run rounds with increasing seeds until the time is over; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m gochat_fuzz", description=__doc__)
    parser.add_argument("--duration", type=float, default=float(os.environ.get("DURATION") or 60))
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or secrets.randbelow(10**6))
    )
    parser.add_argument("--target", choices=NAMES, default=os.environ.get("TARGET") or None)
    args = parser.parse_args()
    deadline = time.monotonic() + args.duration
    seed, inputs, found = args.seed, 0, 0
    print(f"seed {seed}: repeat with SEED={seed} DURATION={args.duration:g}", flush=True)
    while time.monotonic() < deadline or seed == args.seed:
        for target in [args.target] if args.target else NAMES:
            many = SESSIONS if target == SESSION else INPUTS
            try:
                run(target, seed, many)
            except (Found, ExceptionGroup) as error:
                traceback.print_exception(error)
                found += 1
            inputs += many
        seed += 1
    print(f"{seed - args.seed} rounds, {inputs} inputs, {found} found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
