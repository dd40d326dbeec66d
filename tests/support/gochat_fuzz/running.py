"""Runs the targets, within bounds of time and memory, and says which input broke what."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

import trio

from gochat_fuzz import sessions
from gochat_fuzz.targets import TARGETS

#: CPU seconds that an input may take: the largest take some 50 ms, quadratic work minutes.
CPU: Final = 2.0
#: Bytes that an input may hold at once. Looked at for one in :data:`MEASURED`, since it is slow.
MEMORY: Final = 32 * 1024 * 1024
MEASURED: Final = 40
#: The name of the target that is a server.
SESSION: Final = "session"
NAMES: Final = (*TARGETS, SESSION)


class Found(Exception):
    """An input for which something does not hold."""

    def __init__(self, target: str, seed: int, number: int, why: BaseException) -> None:
        while isinstance(why, BaseExceptionGroup) and len(why.exceptions) == 1:
            [why] = why.exceptions
        super().__init__(
            f"{target}, seed {seed}, input {number}: {type(why).__name__}: {why}\n"
            f"repeat with: make fuzz SEED={seed} TARGET={target} DURATION=1"
        )


def run(target: str, seed: int, inputs: int) -> None:
    """Give a target the first `inputs` inputs of a seed. Raises Found for one that breaks it."""
    if target == SESSION:
        trio.run(_run_sessions, seed, inputs)
        return
    for number in range(inputs):
        with _checked(target, seed, number) as chance:
            TARGETS[target](chance)


async def _run_sessions(seed: int, inputs: int) -> None:
    found: Found | None = None
    async with sessions.serving() as server:
        try:
            for number in range(inputs):
                with _checked(SESSION, seed, number) as chance:
                    await server.one(chance)
            await server.end()
        except Found as error:  # not in the group of the server's tasks
            found = error
    if found is not None:
        raise found


@contextmanager
def _checked(target: str, seed: int, number: int) -> Iterator[Random]:
    """Give the chance of an input to the block, and check what the block costs."""
    is_measured = number % MEASURED == MEASURED - 1
    if is_measured:
        tracemalloc.start()
    began = time.process_time()
    try:
        yield Random(f"{target} {seed} {number}")
        spent = time.process_time() - began
        held = tracemalloc.get_traced_memory()[1] if is_measured else 0
        assert spent < CPU * (10 if is_measured else 1), f"it took {spent:.1f} s of the processor"
        assert held < MEMORY, f"it held {held:,} bytes at once"
    except Exception as error:
        raise Found(target, seed, number, error) from error
    finally:
        if is_measured:
            tracemalloc.stop()
