"""``gochat serve``: run a server until it is stopped."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import ipaddress
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gochat.cli import configured

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    import trio

    from gochat.config import Config
    from gochat.server.systemd import Notifier

#: After how many new objects Python looks at these for unreachable cycles; after how many times of
#: that at those before them, too; and after how many times of that at all. What a step of the
#: intake makes, and drops at its end, is less than the first: it is never looked at.
COLLECT_AFTER: Final = (3_000, 1, 400)
#: Seconds after which a thread that computes lets another one have the interpreter (by default 5
#: ms). The event loop gives it up with each write to a socket, and each commit waits for it twice:
#: beside the search index one in some hundred took so long that the disk seemed to be slow.
SWITCH_INTERVAL: Final = 0.001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (default: 8889)")
    parser.add_argument(
        "--store",
        metavar="URL",
        help="where everything is kept (default: sqlite:///PATH in the user's data directory)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="server processes, on one port, for as many cores (default: 1); needs a Redis store",
    )
    parser.add_argument("--tls-cert", metavar="PATH", help="certificate chain (PEM): use TLS")
    parser.add_argument("--tls-key", metavar="PATH", help="the certificate's private key (PEM)")
    parser.add_argument(
        "--websocket",
        action="store_const",
        const=True,
        help="also accept connections of web pages: see websocket_origins",
    )
    configured.add_arguments(parser)
    parser.add_argument(
        "--log-format",
        choices=("auto", "console", "json"),
        help="auto: readable on a terminal, JSON lines otherwise (default: auto)",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="the least important events to log (default: info)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM (:mod:`gochat.cli.signals`), drain, and return 0.

    With workers, returns the exit code of the supervisor.

    Raises:
        AddressUnavailable: the address can't be listened on now.
        ConfigError: the configuration, the address or a certificate can't be used.
        StoreUnavailable: the store can't be opened now.
        StoreCorrupt: the store is damaged, or was found to be while the server ran.
    """
    from gochat.cli import signals

    stops_with_terminal = not signals.is_under_nohup()
    signals.ignore_requests()

    import trio

    from gochat.config import load_config_and_sources
    from gochat.errors import ConfigError
    from gochat.server import workers
    from gochat.server.app import serve
    from gochat.server.auth_command import require_program
    from gochat.server.logs import configure_logs, log_start
    from gochat.server.systemd import Notifier, take_sockets

    flags: dict[str, object] = {
        "host": args.host,
        "port": args.port,
        "store": args.store,
        "tls.cert": args.tls_cert,
        "tls.key": args.tls_key,
        "websocket": args.websocket,
        "log_format": args.log_format,
        "log_level": args.log_level,
    }
    settings = configured.settings(args)
    if args.workers < 1:
        raise ConfigError("--workers: at least one process is needed to serve")

    def read() -> tuple[Config, Mapping[str, str]]:
        config, sources = load_config_and_sources(args.config, flags=flags, settings=settings)
        require_program(config.auth, sources)
        return config, sources

    config, sources = read()
    worker = workers.number()
    configure_logs(config.log_format, config.log_level, worker=worker)
    if worker is None:
        log_start(config, sources, workers=args.workers)
        _warn_if_exposed(config)
    notifier, handed_over = Notifier.take(), take_sockets()
    if worker is None and args.workers > 1:
        workers.check(config)
        run: signals.Run = partial(_supervise, args, config, notifier, handed_over)
    else:
        _set_up_the_interpreter()
        serving = partial(
            serve,
            config,
            read_config=lambda: read()[0],
            is_worker=worker is not None,
            notifier=notifier,
            handed_over=handed_over,
        )
        run = partial(_serve, config, serving, is_worker=worker is not None)
    return trio.run(
        partial(
            signals.until_signalled,
            run,
            stops_with_terminal=stops_with_terminal,
            twice_is_at_once=worker is None,
        )
    )


async def _serve(
    config: Config,
    serving: Callable[..., Awaitable[None]],
    stop: trio.Event,
    reloads: trio.MemoryReceiveChannel[None],
    *,
    is_worker: bool,
) -> int:
    import trio

    from gochat.server import workers

    if not await _store_is_up(config, stop):
        return 0
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serving, stop=stop, reloads=reloads))
        if is_worker:
            with contextlib.suppress(OSError):  # the end of the supervisor is noticed elsewhere
                os.write(sys.stdout.fileno(), workers.READY)
    return 0


async def _store_is_up(config: Config, stop: trio.Event) -> bool:
    """Wait for the store; return False if `stop` was set first."""
    import trio

    from gochat.storage import wait_until_up

    is_up = False
    async with trio.open_nursery() as nursery:

        async def give_up() -> None:
            await stop.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(give_up)
        await wait_until_up(config.store_url, config.store_wait)
        is_up = True
        nursery.cancel_scope.cancel()
    return is_up


async def _supervise(
    args: argparse.Namespace,
    config: Config,
    notifier: Notifier,
    handed_over: Sequence[tuple[str, socket.socket]],
    stop: trio.Event,
    reloads: trio.MemoryReceiveChannel[None],
) -> int:
    from gochat.cli import CORRUPT
    from gochat.server import workers
    from gochat.server.listening import reserved_for_workers

    with reserved_for_workers(config, handed_over) as (sockets, port):
        flags = {
            "--host": args.host,
            "--store": args.store,
            "--tls-cert": args.tls_cert,
            "--tls-key": args.tls_key,
            "--config": args.config,
            "--log-format": args.log_format,
            "--log-level": args.log_level,
        }
        # -P: don't import modules from the current directory, unless this process does so itself.
        path = () if str(Path.cwd()) in sys.path else ("-P",)
        command = [sys.executable, *path, "-m", "gochat.cli.companion", "serve"]
        command += [f"{flag}={value}" for flag, value in flags.items() if value is not None]
        command += ["--websocket"] * bool(args.websocket)
        settings = args.set if port is None else [*args.set, f"port={port}"]
        command += [f"--set={setting}" for setting in settings]
        return await workers.supervise(
            command,
            args.workers,
            stop=stop,
            reloads=reloads,
            drain_timeout=config.limits.drain_timeout,
            final_code=CORRUPT,
            notifier=notifier,
            sockets=sockets,
        )


def _set_up_the_interpreter() -> None:
    """Set what it prints if it crashes, and how often it changes threads and looks for cycles."""
    faulthandler.enable(2)
    sys.setswitchinterval(SWITCH_INTERVAL)
    _calm_the_collector()


def _calm_the_collector() -> None:
    """Make Python look for unreachable cycles less often: everything stops while it looks.

    A server keeps nearly all its objects for as long as a connection lives, and its messages are
    not in cycles. So it looks at all of them once in a million that are new. But those that are new
    it looks at in small portions, for beside a crowd that connects they are many: with 10,000 at
    once it stopped for 40 ms each time, and for 200 ms with the 100,000 before them.
    """
    import gc

    gc.freeze()  # the modules are never freed
    gc.set_threshold(*COLLECT_AFTER)


def _warn_if_exposed(config: Config) -> None:
    import structlog

    for listen in config.listeners:
        if listen.unix or listen.systemd or config.encrypts(listen):
            continue
        try:
            is_local = ipaddress.ip_address(listen.host).is_loopback
        except ValueError:
            is_local = listen.host == "localhost"
        if not is_local:
            structlog.get_logger().warning(
                "network traffic unencrypted",
                host=listen.host,
                advice="use --tls-cert and --tls-key, or passwords and messages can be read on the"
                " way",
            )
