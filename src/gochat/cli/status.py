"""``gochat status``: how a running server is, from its listener for monitoring."""

from __future__ import annotations

import argparse
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

#: Seconds for each of the two answers; the server gives its store five of them.
TIMEOUT: Final = 10.0
#: The address at which this machine reaches a server that listens on many.
_REACHED_AT: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - any


class Status(NamedTuple):
    """What a server says of itself."""

    is_ready: bool
    reasons: list[str]
    numbers: dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--port", type=int, help="port for monitoring (default: metrics.port, as configured)"
    )
    parser.add_argument(
        "--config", metavar="PATH", type=Path, help="the server's configuration file (TOML)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print how the server is; return 0 if people can log in and send, else 1.

    Raises:
        ConfigError: the configuration is wrong, or has no `metrics.port`.
        ConnectionLost: nothing answers there.
    """
    from gochat.cli import FAILED
    from gochat.config import load_config
    from gochat.errors import ConfigError

    metrics = load_config(args.config).metrics
    port = metrics.port if args.port is None else args.port
    if not port:
        raise ConfigError(
            "metrics.port is not configured: set it and restart the server, or give --port"
        )
    host = _REACHED_AT.get(metrics.host, metrics.host)
    status = read_status(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    if args.json:
        print(json.dumps(status._asdict()))
    else:
        print("\n".join(_lines(status)))
    return 0 if status.is_ready else FAILED


def read_status(url: str) -> Status:
    """Return what the server at `url` says of itself. Raises ConnectionLost."""
    code, text = _get(f"{url}/readyz")
    reasons = [
        line.removeprefix("not ready: ") for line in text.splitlines() if code != HTTPStatus.OK
    ]
    _, metrics = _get(f"{url}/metrics")
    from prometheus_client.parser import text_string_to_metric_families

    samples = [
        sample for family in text_string_to_metric_families(metrics) for sample in family.samples
    ]
    return Status(code == HTTPStatus.OK, reasons, dict(_numbers(samples)))


def _get(url: str) -> tuple[int, str]:
    from gochat.errors import ConnectionLost

    try:
        # No proxy of the environment: it is this machine, or one beside it.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=TIMEOUT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionLost(f"no server answers at {url}: {reason}") from error


def _numbers(samples: list[Sample]) -> Iterator[tuple[str, float]]:
    """Yield the numbers that a person asks for first, with their names in the JSON."""

    def total(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    yield "uptime_seconds", round(time.time() - total("process_start_time_seconds"))
    yield "people_online", total("gochat_people_online")
    yield "connections", total("gochat_connections")
    yield "connections_logged_in", total("gochat_connections", state="logged_in")
    yield "connections_max", total("gochat_connections_max")
    yield "messages", total("gochat_messages_total")
    yield "refusals", total("gochat_refusals_total")
    yield "slow_consumers", total("gochat_connections_ended_total", reason="slow_consumer")
    yield "store_up", total("gochat_store_up")
    yield "store_waiting", total("gochat_store_waiting")
    yield "store_failures", total("gochat_store_failures_total")
    for name in ("append_seconds", "commit_seconds", "loop_lag_seconds"):
        yield f"{name}_p99", _quantile(samples, f"gochat_{name}_bucket", 0.99)
    yield "logins_waiting", total("gochat_hashing_waiting")
    yield "resident_bytes", total("process_resident_memory_bytes")
    present = {sample.name for sample in samples}
    for name in ("store_disk_free_bytes", "certificate_expiry_timestamp_seconds"):
        if f"gochat_{name}" in present:
            yield name, total(f"gochat_{name}")
    if "gochat_nodes" in present:
        yield "nodes", total("gochat_nodes")
        yield "node_lease", total("gochat_node_lease")


def _quantile(samples: list[Sample], name: str, part: float) -> float:
    """Return the bound of the bucket in which a quantile lies; 0 if nothing was observed."""
    buckets = [
        (float(sample.labels["le"]), sample.value) for sample in samples if sample.name == name
    ]
    count = max((value for _, value in buckets), default=0)
    reached = [bound for bound, value in buckets if count and value >= part * count]
    # JSON has no infinity: the greatest finite bound stands for "more".
    finite = [bound for bound, _ in buckets if bound < float("inf")]
    return min([*reached, *finite[-1:]]) if reached else 0.0


def _lines(status: Status) -> Iterator[str]:
    numbers = status.numbers
    days, seconds = divmod(int(numbers["uptime_seconds"]), 24 * 3600)
    uptime = (
        f"{days} d {seconds // 3600} h" if days else f"{seconds // 3600} h {seconds // 60 % 60} min"
    )
    yield ("ready" if status.is_ready else "NOT READY") + f", up for {uptime}"
    yield from (f"  {reason}" for reason in status.reasons)

    def row(name: str, text: str) -> str:
        return f"{name:<13} {text}"

    yield row("people", f"{numbers['people_online']:,.0f} online")
    yield row(
        "connections",
        f"{numbers['connections']:,.0f} of {numbers['connections_max']:,.0f}, "
        f"{numbers['connections_logged_in']:,.0f} logged in; "
        f"{numbers['slow_consumers']:,.0f} cut as too slow",
    )
    yield row(
        "messages", f"{numbers['messages']:,.0f}; {numbers['refusals']:,.0f} requests refused"
    )
    yield row(
        "store",
        f"{'up' if numbers['store_up'] else 'DOWN'}, "
        f"{numbers['store_waiting']:,.0f} requests wait, "
        f"{numbers['store_failures']:,.0f} failed",
    )
    yield row(
        "99 % within",
        f"{_milliseconds(numbers['append_seconds_p99'])} for a message, "
        f"{_milliseconds(numbers['loop_lag_seconds_p99'])} for the event loop",
    )
    yield row("logins", f"{numbers['logins_waiting']:,.0f} wait for a core")
    yield row("memory", f"{numbers['resident_bytes'] / 2**20:,.0f} MiB")
    if "store_disk_free_bytes" in numbers:
        yield row("disk", f"{numbers['store_disk_free_bytes'] / 2**30:,.1f} GiB free")
    if "certificate_expiry_timestamp_seconds" in numbers:
        left = (numbers["certificate_expiry_timestamp_seconds"] - time.time()) / 86400
        yield row("certificate", f"expires in {floor(left):,} days")
    if "nodes" in numbers:
        lease = "" if numbers["node_lease"] else "; the others count this one as GONE"
        yield row("nodes", f"{numbers['nodes']:,.0f}{lease}")


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:g} ms"
