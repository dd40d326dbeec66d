"""The paths of the listener for monitoring, and what they answer.

============ ==================================================================
``/metrics`` everything that is counted, for Prometheus
``/livez``   200 as long as the server's event loop runs
``/readyz``  200 if people can log in and send, else 503 with the reasons
============ ==================================================================
"""

from __future__ import annotations

from http import HTTPStatus
from math import inf
from pathlib import Path
from typing import Final

import trio
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from gochat.histogram import SECONDS, Histogram
from gochat.server.certificate import Certificate
from gochat.server.metrics import loop_lag
from gochat.server.metrics.collector import Collector, Visit
from gochat.server.metrics.http import HttpServer, Response, not_found
from gochat.server.metrics.readiness import Readiness
from gochat.server.server import Server

#: Seconds for which metrics that were read count: reading visits all sessions, and no scraper needs
#: it more often.
FRESH: Final = 1.0


class Monitor:
    """Answers for a server; run it with :meth:`run`."""

    def __init__(
        self,
        server: Server,
        readiness: Readiness,
        certificate: Certificate | None = None,
        disk: Path | None = None,
    ) -> None:
        self._server = server
        self._readiness = readiness
        self._lag = Histogram(SECONDS)
        self._collector = Collector(server, self._lag, certificate, disk)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._reading = trio.Lock()
        self._read, self._read_at = b"", -inf  # the answer of the last scrape

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Measure, and answer on these listeners, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop_lag.measure, self._lag)
            nursery.start_soon(HttpServer(self.respond).run, listeners)

    async def respond(self, path: str) -> Response:
        """Answer a request for a path."""
        match path:
            case "/metrics":
                return await self._metrics()
            case "/livez":
                return Response(HTTPStatus.OK, b"alive\n")
            case "/readyz":
                reasons = await self._readiness.why_not()
                if not reasons:
                    return Response(HTTPStatus.OK, b"ready\n")
                text = "".join(f"not ready: {reason}\n" for reason in reasons)
                return Response(HTTPStatus.SERVICE_UNAVAILABLE, text.encode())
            case _:
                return not_found("/metrics, /livez and /readyz")

    async def _metrics(self) -> Response:
        async with self._reading:
            if trio.current_time() - self._read_at >= FRESH:
                self._collector.visit = await Visit.of(self._server.sessions)
                self._read_at = trio.current_time()
                self._read = generate_latest(self._registry)
            # The classic format, whatever is asked for: all scrapers read it.
            return Response(HTTPStatus.OK, self._read, CONTENT_TYPE_PLAIN_0_0_4)
