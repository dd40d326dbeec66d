"""An audience in a process of its own: each has all the descriptors that a process may have.

With as many receivers as that, those of two servers don't fit into one process, and only the
servers' taking turns makes their figures comparable. While one broadcasts, the others sleep.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.audience import Audience, Measured
from benchmarks.servers import Server

# Forked, not started anew: it has the server's process and certificates by inheritance.
_FORK: Final = multiprocessing.get_context("fork")


class AudienceApart:
    """An :class:`~benchmarks.audience.Audience` that lives elsewhere. See :func:`open_apart`."""

    def __init__(self, server: Server, link: Connection) -> None:
        self.server: Final = server
        self._link = link

    def wait_ready(self) -> None:
        """Wait until all receivers are there. Raises what prevented it."""
        self._answer()

    def broadcast(
        self, messages: int, *, in_flight: int = 1, rate: float = 0.0, speaking: int = 1
    ) -> Measured:
        """As :meth:`Audience.broadcast`."""
        self._link.send((messages, in_flight, rate, speaking))
        measured = self._answer()
        assert isinstance(measured, Measured)
        return measured

    def _answer(self) -> object:
        answer = self._link.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def open_apart(server: Server, receivers: int, speakers: int) -> Iterator[AudienceApart]:
    """Have an audience in a process that ends with the block."""
    near, far = _FORK.Pipe()
    process = _FORK.Process(target=_live, args=(server, receivers, speakers, near, far))
    process.start()
    far.close()
    try:
        with closing(near):
            audience = AudienceApart(server, near)
            audience.wait_ready()
            yield audience
    finally:
        process.join()


def _live(
    server: Server, receivers: int, speakers: int, near: Connection, link: Connection
) -> None:
    near.close()  # else the end of the parent would not be noticed
    try:
        with closing(Audience(server, receivers, speakers)) as audience:
            gc.freeze()
            gc.disable()  # it would be in what is measured
            link.send(None)
            while True:
                messages, in_flight, rate, speaking = link.recv()
                link.send(
                    audience.broadcast(messages, in_flight=in_flight, rate=rate, speaking=speaking)
                )
                gc.collect()
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:  # whatever it is, it is the parent's to tell
        link.send(error)
