"""Twice the input costs a server about twice as much, whatever the input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import pairwise
from time import process_time

import pytest
import worst_inputs
from attacker import Attacker, attacker
from msgspec import structs
from worst_inputs import FRAMES, OTHERS, REQUESTS, STRINGS, VALID

from gochat.chat import names
from gochat.chat.passwords import Passwords
from gochat.errors import ChatError
from gochat.protocol import search_query
from gochat.protocol.codec import encode
from gochat.protocol.framing import HEADER_SIZE, MAX_FRAME_SIZE, frame
from gochat.protocol.messages import Register, Resume
from gochat.protocol.text import mentions
from gochat.server import logs
from gochat.storage.common.matching import SearchWords
from gochat.storage.common.sqlite_url import Location
from gochat.storage.indexing import turns
from gochat.storage.indexing.grams import IndexedWords
from gochat.storage.sqlite.search_index import SearchIndex

pytestmark = pytest.mark.trio

#: This factor of input size
STEP = 4
#: may cost at most this factor: quadratic cost would be a factor of 16. Linear cost can reach 7
#: where the data no longer fits into a page or a cache.
TOLERATED = 12
#: The cheapest of this many runs counts, and of this many more if it seems to have cost too much: a
#: busy machine makes some more expensive, and none cheaper.
RUNS = 2
MORE_RUNS = 6
#: Seconds that are ignored: less than this is noise of the clock and the cache.
FLOOR = 50e-6
#: In characters; the longest exceeds the bound on each text except passwords, bounded by a frame.
LENGTHS = (8, 32, 128, 512)
LONG_LENGTHS = (1000, 4000, 16_000)
TEXT_LENGTHS = (250, 1000, 4000)
PARTS = (60, 240, 960)
SIZES = (4000, 16_000, 64_000)


async def assert_linear(
    what: str, sizes: Sequence[int], run: Callable[[int], Awaitable[float]]
) -> None:
    """Fail if one step of input size costs more than linear.

    `run` returns the CPU seconds for a size.
    """

    async def cheapest(size: int, runs: int) -> float:
        return min([await run(size) for _ in range(runs)])

    # If the largest seems to have cost too much, it runs again; if not, more runs make it cheaper.
    spent = {size: await cheapest(size, RUNS) for size in sizes[:-1]}
    spent[sizes[-1]] = await run(sizes[-1])
    for small, large in pairwise(sizes):
        if spent[large] > TOLERATED * spent[small]:
            spent[large] = min(spent[large], await cheapest(large, MORE_RUNS))
        assert spent[large] <= TOLERATED * spent[small], f"{what}: {spent}"


@cache
def search_index() -> SearchIndex:
    """The index of a store in memory."""
    index = SearchIndex(Location(None))
    index.open(None, "", 0)
    return index


def index(text: str) -> None:
    """Put a text into an empty index, and take it out."""
    for replaced in (1, "", text), (1, text, ""):
        with search_index().write() as db:
            turns.replace(db, [replaced])
            turns.merge(db, 0)


#: Operations on texts of the maximum configured length, some of them after the reply.
FUNCTIONS: dict[str, Callable[[str], object]] = {
    "index": index,
    "match": lambda text: SearchWords(("mei", "漢", "a\u0301")).match(text),
    "query": lambda text: IndexedWords(search_query.parse(text).terms).expression(),
    "accents": lambda text: SearchWords(("mei", "漢", "a\u0301"), other=True).match(text),
    "mentions": lambda text: list(mentions(text)),
    "key": names.possible_key,
    "name": names.fold,
    "password": Passwords().check,
    "log": logs._visible,
}
#: Those among them on names, whose length is bounded first.
OF_NAMES = ("key", "name")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("string", STRINGS)
async def test_cost_of_operations_on_a_text_is_linear(function: str, string: str) -> None:
    async def run(length: int) -> float:
        text = STRINGS[string](length)
        names._forms.cache_clear()
        began = process_time()
        with suppress(ChatError):
            FUNCTIONS[function](text)
        return process_time() - began + FLOOR

    lengths = LENGTHS if function in OF_NAMES else TEXT_LENGTHS
    await assert_linear(f"{function}: {string}", lengths, run)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_cost_of_a_text_is_linear(kind: type) -> None:
    assert kind in VALID, f"{kind.__name__} has no entry in worst_inputs.VALID"
    async with attacker() as mallory:
        for field in worst_inputs.texts(kind):
            is_long = field in ("text", "password", "old", "new") and kind.__name__ not in (
                "Away",
                "SetStatus",
            )

            lengths = LONG_LENGTHS if is_long else LENGTHS
            for string in worst_inputs.strings(field):

                async def run(length: int, field: str = field, string: str = string) -> float:
                    names._forms.cache_clear()
                    encoded = worst_inputs.with_text(kind, field, string, length)
                    return await mallory.cost(kind, [] if encoded is None else [encoded])

                await assert_linear(f"{kind.__name__}.{field}: {string}", lengths, run)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_cost_of_parts_is_linear(kind: type) -> None:
    async with attacker() as mallory:
        for field in worst_inputs.others(kind):
            attacks = OTHERS.get((kind, field))
            assert attacks, f"{kind.__name__}.{field} has no entry in worst_inputs.OTHERS"
            for name, attack in attacks.items():

                async def run(size: int, attack: Callable[..., object] = attack) -> float:
                    request = VALID[kind]
                    if kind is Resume:
                        request = structs.replace(request, token=mallory.token)
                    encoded = encode(attack(request, size))  # type: ignore[arg-type]  # attacks return requests
                    assert len(encoded) <= HEADER_SIZE + MAX_FRAME_SIZE
                    return await mallory.cost(kind, [encoded])

                await assert_linear(f"{kind.__name__}.{field}: {name}", PARTS, run)


@pytest.mark.parametrize("attack", FRAMES)
async def test_cost_of_a_frame_is_linear(attack: str) -> None:
    async def run(mallory: Attacker, size: int) -> float:
        frames = [frame(FRAMES[attack](size))] * 8
        return await mallory.cost(Register, frames)

    async with attacker() as mallory:
        await assert_linear(attack, SIZES, partial(run, mallory))
