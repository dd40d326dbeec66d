"""Print the cost of the worst requests on this machine: `python tests/attacks/measure.py`.

For each kind, prints the most expensive of its worst inputs in CPU microseconds, next to the cost
of an honest client's request. Both include the attacker's side, which is in this process, and use a
store in memory.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import structlog
import trio
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from attacker import Attacker, attacker
from worst_inputs import OTHERS, REQUESTS, VALID, strings, texts, with_text

from gochat.chat.names import _forms
from gochat.protocol.codec import encode
from gochat.protocol.messages import Resume

LENGTHS = (32, 128, 250, 1000, 4000, 16_000)
PARTS = 960
TIMES = 3


async def dearest(mallory: Attacker, kind: type, frames: Iterable[bytes]) -> tuple[float, int]:
    """Return the cost of the most expensive frame, and its size in bytes."""
    worst = (0.0, 0)
    for frame in frames:
        _forms.cache_clear()
        spent = [await mallory.cost(kind, [frame]) for _ in range(TIMES)]
        worst = max(worst, (min(spent), len(frame)))
    return worst


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"{'request':16} {'honest':>10} {'worst':>10} {'its bytes':>10}  µs; where")
    async with attacker() as mallory:
        for kind in REQUESTS:
            honest, _ = await dearest(mallory, kind, [encode(VALID[kind])])
            found = []
            for field in texts(kind):
                for string in strings(field):
                    frames = [with_text(kind, field, string, length) for length in LENGTHS]
                    worst = await dearest(mallory, kind, filter(None, frames))
                    found.append((*worst, f"{field}: {string}"))
            for (owner, field), attacks in OTHERS.items():
                for name, attack in attacks.items() if owner is kind else ():
                    request = VALID[kind]
                    if kind is Resume:
                        request = structs.replace(request, token=mallory.token)
                    frame = encode(attack(request, PARTS))
                    found.append((*await dearest(mallory, kind, [frame]), f"{field}: {name}"))
            cost, size, where = max(found)
            print(f"{kind.__name__:16} {honest * 1e6:10.0f} {cost * 1e6:10.0f} {size:10}  {where}")


if __name__ == "__main__":
    trio.run(main)
