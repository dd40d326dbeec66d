"""Read what the parts of a server have counted, in the form of `prometheus_client`.

Importing this loads that package, which takes as long as all of a client's: only servers that are
asked for metrics do.
"""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Final

import trio
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

import gochat
from gochat.histogram import Histogram
from gochat.protocol.messages import ByeReason
from gochat.server.certificate import Certificate
from gochat.server.server import Server, kind_of
from gochat.server.session import Session

#: Sessions that are visited before others get a turn: some hundred microseconds.
VISITED_AT_ONCE: Final = 500
#: Events of the log that are refusals, besides those whose names end so.
_REFUSED: Final = " refused"
_QUOTA: Final = "quota used up"
_HANDSHAKE: Final = " handshake failed"
#: Why a connection can end: all are there from the start, so that the first one is an increase.
_ENDS: Final = (*map(str, ByeReason), "logged_out", "disconnected", "connection_lost", "cancelled")


class Visit:
    """What was found by visiting all sessions."""

    def __init__(self) -> None:
        #: By transport, whether it is encrypted, and state.
        self.connections: Counter[tuple[str, str, str]] = Counter()
        self.waiting_bytes = self.largest_mailbox = self.behind = 0

    @classmethod
    async def of(cls, sessions: Iterable[Session]) -> Visit:
        """Visit sessions, letting others have a turn in between."""
        visit = cls()
        for number, session in enumerate(tuple(sessions), 1):
            visit._add(session)
            if number % VISITED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        return visit

    def _add(self, session: Session) -> None:
        if session.is_ending:
            state = "closing"
        else:
            state = "anonymous" if session.login is None else "logged_in"
        self.connections[*kind_of(session), state] += 1
        outlet = session.outlet
        backlog = outlet.backlog
        if backlog:
            self.waiting_bytes += backlog
            self.largest_mailbox = max(self.largest_mailbox, backlog)
            self.behind += outlet.is_behind


class Collector:
    """Yields a server's metrics, for `prometheus_client`'s registry."""

    def __init__(
        self,
        server: Server,
        lag: Histogram,
        certificate: Certificate | None = None,
        disk: Path | None = None,
    ) -> None:
        self._server = server
        self._services = server.services
        self._lag = lag
        self._certificate = certificate
        self._disk = disk
        #: Of this scrape.
        self.visit = Visit()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from self._about()
        yield from self._connections()
        yield from self._refusals()
        yield from self._chat()
        yield from self._store()
        yield from self._queues()
        yield from self._nodes()

    def _about(self) -> Iterator[Metric]:
        yield _labelled(
            GaugeMetricFamily,
            "gochat_build_info",
            "Always 1: the version that runs, and its Python.",
            ("version", "python"),
            [((gochat.__version__, platform.python_version()), 1)],
        )
        if self._certificate is not None and self._certificate.expires is not None:
            yield GaugeMetricFamily(
                "gochat_certificate_expiry_timestamp_seconds",
                "When the certificate in use expires, in seconds since 1970.",
                self._certificate.expires.timestamp(),
            )

    def _connections(self) -> Iterator[Metric]:
        visit, limiter = self.visit, self._services.connections
        yield _labelled(
            GaugeMetricFamily,
            "gochat_connections",
            "Connections, by how they talk and how far they are.",
            ("transport", "tls", "state"),
            visit.connections.items(),
        )
        yield GaugeMetricFamily(
            "gochat_handshakes_pending",
            "Connections that are still in the handshake of TLS or WebSocket.",
            self._server.handshakes_pending,
        )
        yield GaugeMetricFamily(
            "gochat_connections_max", "Connections that the server takes at most.", limiter.most
        )
        yield _labelled(
            CounterMetricFamily,
            "gochat_connections_opened",
            "Connections whose handshakes succeeded.",
            ("transport", "tls"),
            self._server.opened.items(),
        )
        yield _labelled(
            CounterMetricFamily,
            "gochat_connections_ended",
            "Connections that have ended after their handshakes, by reason.",
            ("reason",),
            [((reason,), self._services.journal.ended[reason]) for reason in _ENDS],
        )
        yield GaugeMetricFamily(
            "gochat_mailbox_bytes",
            "Bytes that wait for peers to read them, of all connections.",
            visit.waiting_bytes,
        )
        yield GaugeMetricFamily(
            "gochat_mailbox_largest_bytes",
            "Bytes that wait for the peer that is furthest behind.",
            visit.largest_mailbox,
        )
        yield GaugeMetricFamily(
            "gochat_mailboxes_behind",
            "Connections for which so much waits that the server sends only what can't wait.",
            visit.behind,
        )

    def _refusals(self) -> Iterator[Metric]:
        refusals: dict[tuple[str, str], int] = {}
        handshakes: dict[tuple[str], int] = {}
        logins = 0
        for (event, code), total in self._services.journal.totals().items():
            if event.endswith(_REFUSED):
                refusals[event.removesuffix(_REFUSED).replace(" ", "_"), code] = total
            elif event == _QUOTA:
                refusals["quota", code] = total
            elif event.endswith(_HANDSHAKE):
                handshakes[event.removesuffix(_HANDSHAKE).lower(),] = total
            elif event == "logged in":
                logins = total
        yield _labelled(
            CounterMetricFamily,
            "gochat_refusals",
            "What was refused, and the code of the error; of a quota, its key.",
            ("what", "code"),
            refusals.items(),
        )
        yield _labelled(
            CounterMetricFamily,
            "gochat_handshakes_failed",
            "Handshakes that failed.",
            ("kind",),
            handshakes.items(),
        )
        yield CounterMetricFamily("gochat_logins", "Logins, with a password or a token.", logins)

    def _chat(self) -> Iterator[Metric]:
        hub = self._services.hub
        yield GaugeMetricFamily("gochat_sessions", "Connections that are logged in.", len(hub))
        yield GaugeMetricFamily(
            "gochat_people_online", "People who are online, on all nodes.", len(hub.roster)
        )
        yield CounterMetricFamily(
            "gochat_messages", "Messages that were committed, of all nodes.", hub.messages
        )
        yield CounterMetricFamily(
            "gochat_deliveries",
            "Entries that were posted to connections, once for each.",
            hub.deliveries,
        )
        yield _histogram(
            "gochat_batch_entries",
            "Entries of all kinds that were delivered together.",
            hub.batch_sizes,
        )
        yield _histogram(
            "gochat_append_seconds",
            "From asking the store to append until it has, or has refused.",
            self._services.append_seconds,
        )

    def _store(self) -> Iterator[Metric]:
        store = self._services.store
        health = store.health
        yield GaugeMetricFamily(
            "gochat_store_up",
            "1 if what was last asked of the store worked.",
            health.is_available,
        )
        yield _labelled(
            CounterMetricFamily,
            "gochat_store_failures",
            "Requests that the store could not carry out.",
            ("part",),
            [((part,), count) for part, count in health.failures.items()],
        )
        waiting: Counter[tuple[str]] = Counter()
        for part, queue in health.queues:
            waiting[part,] += queue()
        yield _labelled(
            GaugeMetricFamily,
            "gochat_store_waiting",
            "Requests that wait for the store, or are being carried out.",
            ("part",),
            waiting.items(),
        )
        yield _histogram(
            "gochat_commit_seconds",
            "From beginning a commit until the store has it.",
            health.commit_seconds,
        )
        yield _histogram(
            "gochat_commit_requests", "Requests that shared a commit.", health.commit_sizes
        )
        yield GaugeMetricFamily(
            "gochat_store_unindexed",
            "What waits for the search index: texts in SQLite, conversations in Redis.",
            store.unindexed,
        )
        if self._disk is not None and self._disk.is_dir():
            usage = shutil.disk_usage(self._disk)
            yield GaugeMetricFamily(
                "gochat_store_disk_free_bytes", "Left on the disk of the store.", usage.free
            )
            yield GaugeMetricFamily(
                "gochat_store_disk_size_bytes", "Size of the disk of the store.", usage.total
            )

    def _queues(self) -> Iterator[Metric]:
        hashing = self._services.hashing
        yield GaugeMetricFamily(
            "gochat_hashing_waiting",
            "Logins that wait for a core to hash on, or are being hashed.",
            hashing.waiting,
        )
        yield GaugeMetricFamily(
            "gochat_hashing_delay_seconds",
            "Until the last of them will have had its turn.",
            hashing.delay,
        )
        command = self._services.auth_command
        yield GaugeMetricFamily(
            "gochat_auth_command_waiting",
            "Logins that wait for the program of `auth.command`, or for its answer.",
            command.waiting,
        )
        yield _histogram(
            "gochat_auth_command_seconds", "How long that program took.", command.seconds
        )
        yield CounterMetricFamily(
            "gochat_auth_command_failures",
            "Times that it gave no answer, or said that it can't.",
            command.failures,
        )
        yield _histogram(
            "gochat_loop_lag_seconds",
            "How late the event loop was, four times a second.",
            self._lag,
        )

    def _nodes(self) -> Iterator[Metric]:
        bus = self._services.store.node_bus
        if bus is not None:
            yield GaugeMetricFamily(
                "gochat_node_lease", "1 if the other nodes count this one as alive.", bus.has_lease
            )
            yield GaugeMetricFamily("gochat_nodes", "Nodes that this one knows.", bus.nodes)


def _labelled(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    family = kind(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    buckets = [
        ("+Inf" if bound == inf else str(float(bound)), count)
        for bound, count in histogram.cumulative()
    ]
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)
