"""Connections from trusted proxies, until it is known where they come from."""

from __future__ import annotations

from typing import Final

import structlog
import trio

from gochat.server.proxy_protocol import BadHeader, Source, receive_header
from gochat.server.services import Services

log = structlog.stdlib.get_logger()

#: Connections whose header has not arrived. A proxy sends it with the first segment, so there are
#: few, unless it is broken.
MAX_WAITING: Final = 1024


class ProxiedConnections:
    """Finds out where connections of trusted proxies come from."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting = 0

    async def source_of(
        self, stream: trio.SocketStream, address: str, port: int | None
    ) -> Source | None:
        """Return where a connection comes from; None, with a log line, if it does not say that.

        A proxy's own connections, as its health checks, come from itself.
        """
        if self._waiting >= MAX_WAITING:
            self._log("too many connections without one", address, port)
            return None
        self._waiting += 1
        try:
            with trio.fail_after(self._services.config.limits.tls_handshake_timeout):
                return await receive_header(stream) or Source(address, port)
        except BadHeader as error:
            self._log(str(error), address, port)
        except trio.TooSlowError:
            self._log("it took too long", address, port)
        except (trio.BrokenResourceError, OSError):
            self._log("the connection broke", address, port)
        finally:
            self._waiting -= 1
        return None

    def _log(self, reason: str, address: str, port: int | None) -> None:
        more = self._services.journal.admit("PROXY header refused")
        if more is not None:
            log.warning("PROXY header refused", reason=reason, address=address, port=port, **more)
