"""Reload the configuration and the certificate of a running server, when it is asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, get_args

import structlog
import trio
from msgspec import Struct, structs

from gochat.config import KEYS, NEEDS_RESTART, SECRET, Config, contradictions
from gochat.config.schema import bare_type
from gochat.errors import ConfigError
from gochat.server import workers
from gochat.server.certificate import Certificate
from gochat.server.composition import configure, passwords
from gochat.server.logs import configure_logs
from gochat.server.services import Services
from gochat.server.systemd import SILENT, Notifier

log = structlog.stdlib.get_logger()

#: What the log shows instead of a secret.
HIDDEN: Final = "(not shown)"


class Reloader:
    """Reloads, keeping what is in use where the new configuration can't be used.

    `read` returns the configuration from the sources that the server was started with; without it
    only the certificate is reloaded.
    """

    def __init__(
        self,
        services: Services,
        certificate: Certificate | None,
        read: Callable[[], Config] | None,
        notifier: Notifier = SILENT,
    ) -> None:
        self._notifier = notifier
        self._services = services
        self._certificate = certificate
        self._read = read

    async def run(self, requests: trio.MemoryReceiveChannel[None]) -> None:
        """Reload for each item received."""
        async for _ in requests:
            self._notifier.reloading()
            succeeded = await self.reload()
            self._notifier.ready(
                "serving, reloaded" if succeeded else "serving; the reload failed, see the log"
            )

    async def reload(self) -> bool:
        """Reload once, and log what has changed and what needs a restart to change.

        Return False if the configuration, or the certificate, can't be used.
        """
        config = self._services.config
        wanted = self._read_again()
        is_read, wanted = wanted is not None, wanted or config
        succeeded = is_read or self._read is None
        changed = {name for name, key in KEYS.items() if key.value(wanted) != key.value(config)}
        if wanted.listen != config.listen:
            changed.add("listen")
        restart = changed & NEEDS_RESTART
        if bool(wanted.tls.cert) != bool(config.tls.cert):
            restart |= changed & {"tls.cert", "tls.key"}
        if self._certificate is not None:
            tls = config.tls if "tls.cert" in restart else wanted.tls
            if not self._certificate.reload(tls):
                changed -= {"tls.cert", "tls.key"}
                succeeded = False
        # What stays may contradict what changes: a longer text, say, needs larger frames.
        for names, _ in contradictions(_with(config, wanted, changed - restart)):
            restart |= changed & {*names}
        changed -= restart
        now = _with(config, wanted, changed)
        if changed:
            # In a thread, because it hashes a password: nobody should wait for that.
            hasher = await trio.to_thread.run_sync(passwords, now.limits)
            configure(self._services, now, hasher)
        if is_read:
            with _logging_as(config, now):
                _log(config, now, changed, restart)
        return succeeded

    def _read_again(self) -> Config | None:
        if self._read is None:
            return None
        try:
            return self._read()
        except ConfigError as error:
            log.error(
                "configuration reload failed",
                reason=str(error),
                advice="the old one stays in use: correct it and send SIGHUP again",
            )
            return None


def _with(config: Config, wanted: Config, names: set[str]) -> Config:
    """Return a configuration with the values that another one has for these keys."""
    top = {name: KEYS[name].value(wanted) for name in names if "." not in name}
    sections: dict[str, dict[str, object]] = {}
    for name in names:
        section, dot, short = name.partition(".")
        if dot:
            sections.setdefault(section, {})[short] = KEYS[name].value(wanted)
    for section, values in sections.items():
        old: Struct = getattr(config, section)
        top[section] = structs.replace(old, **values)
    return structs.replace(config, **top)


def _log(before: Config, after: Config, changed: set[str], restart: set[str]) -> None:
    if restart:
        log.warning(
            "configuration needs a restart",
            keys=_in_order(restart),
            advice="these keep their old values until the server is started again",
        )
    if changed:
        log.info("configuration reloaded", changed=_shown(before, after, changed))
    elif not restart:
        log.info("configuration unchanged")


@contextmanager
def _logging_as(before: Config, after: Config) -> Iterator[None]:
    """Change how the log is written: before the block if it then has more, else after it."""
    if (before.log_format, before.log_level) == (after.log_format, after.log_level):
        yield
        return
    levels = get_args(bare_type(KEYS["log_level"].type))
    has_more = levels.index(after.log_level) < levels.index(before.log_level)
    if has_more:
        configure_logs(after.log_format, after.log_level, worker=workers.number())
    yield
    if not has_more:
        configure_logs(after.log_format, after.log_level, worker=workers.number())


def _shown(before: Config, after: Config, names: set[str]) -> Mapping[str, object]:
    return {
        name: HIDDEN if name in SECRET else [KEYS[name].value(before), KEYS[name].value(after)]
        for name in _in_order(names)
    }


def _in_order(names: set[str]) -> list[str]:
    return [name for name in (*KEYS, "listen") if name in names]
