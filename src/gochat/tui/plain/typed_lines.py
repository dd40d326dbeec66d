"""The lines of standard input, read without holding up the chat."""

from __future__ import annotations

import codecs
import os
from collections.abc import AsyncIterator
from typing import Final

import anyio.to_thread

_CHUNK: Final = 65536


async def typed_lines(descriptor: int) -> AsyncIterator[str]:
    """Yield lines without their breaks, until the end of the input.

    Not by `sys.stdin`: its lock, held by a thread that waits, would keep the process from ending.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    while True:
        data = await anyio.to_thread.run_sync(os.read, descriptor, _CHUNK, abandon_on_cancel=True)
        *lines, rest = (rest + decoder.decode(data, final=not data)).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
        if not data:
            break
    if rest:
        yield rest
