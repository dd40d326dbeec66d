"""A client in its own process, to be frozen: a script.

::

    python reading_client.py URL NAME PASSWORD

logs in and writes a line of JSON to standard output for each entry of the lobby's log that it is
shown, ``[epoch, seq]``, and ``null`` once it is logged in.
"""

from __future__ import annotations

import json
import sys

import trio

from gochat.client import Entry, Reset, Synchronised, open_client


async def read(url: str, name: str, password: str) -> None:
    """Read the lobby until the process is ended."""
    async with open_client(url) as client:
        await client.log_in(name, password)
        async for event in client:
            match event:
                case Synchronised():
                    print("null", flush=True)
                case Entry(conversation="#lobby"):
                    print(json.dumps([event.epoch, event.seq]), flush=True)
                case Reset(conversation="#lobby"):
                    for entry in event.entries:
                        print(json.dumps([entry.epoch, entry.seq]), flush=True)
                case _:
                    pass


if __name__ == "__main__":
    trio.run(read, sys.argv[1], sys.argv[2], sys.argv[3])
