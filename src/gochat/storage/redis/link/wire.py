"""One connection to one Redis process, and the mapping of its errors.

The only module that uses the `redis` package's connections and exceptions.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

import hiredis
import msgspec
import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.driver_info import DriverInfo
from redis.exceptions import AuthorizationError
from redis.retry import Retry

from gochat.errors import ConfigError, StoreCorrupt
from gochat.storage.redis import scripts
from gochat.storage.redis.link.eviction import Eviction, read_eviction
from gochat.storage.redis.link.url import Host, Location, Secret

#: A command; its first word is the command's name.
Arguments: TypeAlias = Sequence[str | bytes | int | float]
#: A reply of Redis, typed where it is decoded.
Reply: TypeAlias = Any

#: The first version with all commands used here.
OLDEST: Final = (6, 2)

#: Sent with each connection. By default the package reads its own version from disk for each.
_DRIVER: Final = DriverInfo()

#: A connection of the package; its methods have no types.
_Connection: TypeAlias = Any


#: Messages, without a code, for a command that a script may not run: up to version 6, and since.
_NOT_PERMITTED: Final = ("can't run this command", "ACL failure in script")


#: Messages, without a code of their own, which mean that a key's value is not what gochat's scripts
#: write, so they can't decode it. They exclude other failures of a script, which may be killed or
#: lack a command, and a number that a peer can choose.
_DAMAGE: Final = re.compile(
    r"hash value is not|user_script:.*(WRONGTYPE|bad argument #|data format|[Mm]issing bytes"
    r"|attempt to (index|perform|compare|concatenate|get length))"
)


class _Packer:
    """Packs commands with hiredis.

    While that turns a number into text, the handler of a signal may run, and if it raises, as those
    of the command line do, hiredis 3.5 crashes. So the numbers are text before. That is also why
    this is not the packer of the `redis` package.
    """

    @staticmethod
    def pack(*arguments: str | bytes | float) -> list[bytes]:
        """Return a command as it is sent."""
        texts: Any = [repr(one) if type(one) in (int, float) else one for one in arguments]
        return [hiredis.pack_command(tuple(texts))]


class Broken(Exception):
    """The connection, or its server, is unusable now. The text is for people."""


class Refused(Exception):
    """Redis refused one command; the connection remains usable.

    `code` is the error's first word, or that of the command in a failed script. It is empty if
    Redis sends only ERR, which the `redis` package removes.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = re.match(r"([A-Z]{2,})(?: |$)", text) or re.search(r": -([A-Z]{2,}) ", text)
        self.code = found[1] if found is not None else ""
        if any(words in text for words in _NOT_PERMITTED):
            self.code = "NOPERM"
        #: True if the cause is stored data that gochat did not write.
        self.is_damage = self.code == "WRONGTYPE" or (
            not self.code and _DAMAGE.search(text) is not None
        )


class Wire:
    """A connection, used by one thread. `run` identifies its server process.

    `eviction` is what the server reported about eviction on connecting.
    """

    def __init__(self, connection: _Connection, host: Host) -> None:
        self._connection = connection
        self._is_closed = False
        self.host: Final = host
        self.run = ""
        self.role = ""
        self.eviction = Eviction()

    def send(self, commands: Iterable[Arguments]) -> None:
        """Send commands. Raises Broken."""
        if self._is_closed:  # the package would reconnect, without our checks
            raise Broken(f"the connection to Redis at {self.host} is closed")
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except (redis.RedisError, OSError) as error:
            raise self._broken(error) from error

    def receive(self, count: int) -> list[Reply | Refused]:
        """Return `count` replies, in order. Raises Broken: then none of them is known."""
        return [self._receive() for _ in range(count)]

    def ask(self, *commands: Arguments) -> list[Reply]:
        """Send commands and return their replies. Raises Broken, or the first Refused."""
        self.send(commands)
        replies = self.receive(len(commands))
        for reply in replies:
            if isinstance(reply, Refused):
                raise reply
        return replies

    def ask_eviction(self) -> Eviction:
        """Return what the server reports about eviction now. Raises Broken, Refused."""
        memory, stats = self.ask(("INFO", "memory"), ("INFO", "stats"))
        return read_eviction(self.host, self.run, fields_of(memory), fields_of(stats))

    def is_stale(self) -> bool:
        """Return True if the peer has closed the connection, or sent something unsolicited."""
        try:
            return bool(self._connection.can_read(0))
        except (redis.RedisError, OSError):
            return True

    def close(self) -> None:
        """Close the connection. Call from the thread that uses it."""
        self._is_closed = True
        self._connection.disconnect()

    def interrupt(self) -> None:
        """Make a call that waits in another thread raise Broken; that thread closes the connection.

        The socket is only shut down. If it were closed here, its descriptor could belong to another
        socket when that thread waits for it, and the package would reconnect to send.
        """
        self._is_closed = True
        connected = self._connection._sock  # the package has no public name for it
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> Reply | Refused:
        try:
            return self._connection.read_response()
        except redis.ResponseError as error:
            return Refused(_code(error) + str(error))
        except (redis.RedisError, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> Broken:
        self._is_closed = True
        if isinstance(error, redis.TimeoutError):
            return Broken(f"Redis at {self.host} did not answer in time")
        return Broken(f"Redis at {self.host}: {error}")


@contextmanager
def damage_raised(host: Host) -> Iterator[None]:
    """Raise :exc:`~gochat.errors.StoreCorrupt` if stored data turns out not to be gochat's.

    Decode the data inside the block.
    """
    try:
        yield
    except Refused as refused:
        if not refused.is_damage:
            raise
        raise damaged(host, refused) from refused
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(host, error) from error


def damaged(host: Host, error: Exception) -> StoreCorrupt:
    """Return the error for stored data that is not gochat's."""
    return StoreCorrupt(f"the data in Redis at {host} is damaged: {error}")


def connect(location: Location, host: Host, timeout: float) -> Wire:
    """Connect, log in, and load the scripts. `timeout` is for each step, in seconds.

    Raises:
        Broken: it can't be reached, or is not ready.
        ConfigError: gochat can't use it: it is too old, of another kind, or refuses the login.
    """
    connection = _make(location, host, timeout)
    wire = Wire(connection, host)
    try:
        connection.connect()
        info, replication, *_ = wire.ask(
            ("INFO", "server"),
            ("INFO", "replication"),
            *(("SCRIPT", "LOAD", script.source) for script in scripts.ALL),
        )
        _inspect(wire, location, fields_of(info), fields_of(replication))
        wire.eviction = wire.ask_eviction()
    except (redis.AuthenticationError, AuthorizationError) as error:
        wire.close()
        raise ConfigError(_unauthenticated(host, error)) from error
    except Refused as error:
        wire.close()
        if error.code == "NOPERM":
            raise ConfigError(forbidden(host, error)) from error
        if error.code == "NOAUTH":
            raise ConfigError(_unauthenticated(host, error)) from error
        raise Broken(f"Redis at {host}: {error}") from error
    except redis.TimeoutError as error:
        wire.close()
        raise Broken(f"Redis at {host} did not answer in time") from error
    except (redis.RedisError, OSError) as error:
        wire.close()
        raise Broken(f"Redis at {host}: {error}") from error
    except BaseException:
        wire.close()
        raise
    return wire


def is_open_to_anybody(location: Location, host: Host, timeout: float, key: str) -> bool:
    """Return True if anybody can query a key of gochat without a password."""
    connection = _make(msgspec.structs.replace(location, secret=Secret()), host, timeout)
    try:
        connection.connect()
        connection.send_command("EXISTS", key)
        connection.read_response()
    except (redis.RedisError, OSError):
        return False
    finally:
        connection.disconnect()
    return True


def credentials(location: Location, timeout: float) -> dict[str, Any]:
    """Return the credentials as arguments of the `redis` package's connections."""
    arguments: dict[str, Any] = {
        "db": location.database,
        "username": location.secret.user,
        "password": location.secret.password,
        "client_name": "gochat",
        "driver_info": _DRIVER,
        **timeouts(timeout),
    }
    return arguments | encryption(location)


def timeouts(timeout: float) -> dict[str, Any]:
    """Return timeouts for every step, without retries: those are decided elsewhere."""
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }


def encryption(location: Location) -> dict[str, Any]:
    """Return the arguments for TLS; empty if it is not used."""
    if not location.is_encrypted:
        return {}
    options = location.options
    return {
        "ssl_ca_certs": options.ca or None,
        "ssl_certfile": options.cert or None,
        "ssl_keyfile": options.key or None,
    }


def _make(location: Location, host: Host, timeout: float) -> _Connection:
    arguments = credentials(location, timeout) | {"command_packer": _Packer()}
    kind: Any  # callable, whatever the package's types say
    if host.path:
        kind = UnixDomainSocketConnection
        return kind(path=host.path, **arguments)
    kind = SSLConnection if location.is_encrypted else Connection
    return kind(host=host.name, port=host.port, **arguments)


def _inspect(
    wire: Wire, location: Location, server: dict[str, str], replication: dict[str, str]
) -> None:
    version = server.get("redis_version", "0")
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ConfigError(
            f"Redis at {wire.host} is version {version}: gochat needs {oldest} or later"
        )
    # Valkey has its own name for the field.
    is_cluster = "cluster" in (server.get("redis_mode"), server.get("server_mode"))
    if is_cluster and location.kind != "cluster":
        raise ConfigError(f"Redis at {wire.host} is part of a cluster: use redis+cluster://…")
    if not is_cluster and location.kind == "cluster":
        raise ConfigError(f"Redis at {wire.host} is not part of a cluster: use redis://…")
    wire.run, wire.role = server["run_id"], replication["role"]
    if not wire.run:
        raise ConfigError(f"Redis at {wire.host} does not say which process it is")


def fields_of(info: bytes) -> dict[str, str]:
    """Parse a reply to ``INFO``."""
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


#: The `redis` package removes the first word of the errors that it knows.
_CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (redis.exceptions.MovedError, "MOVED "),
    (redis.exceptions.AskError, "ASK "),
    (redis.exceptions.TryAgainError, "TRYAGAIN "),
    (redis.exceptions.ClusterDownError, "CLUSTERDOWN "),
    (redis.exceptions.MasterDownError, "MASTERDOWN "),
    (redis.exceptions.NoScriptError, "NOSCRIPT "),
    (redis.exceptions.OutOfMemoryError, "OOM "),
    (redis.exceptions.ReadOnlyError, "READONLY "),
    (redis.exceptions.NoPermissionError, "NOPERM "),
    (redis.exceptions.ExecAbortError, "EXECABORT "),
)


def _code(error: Exception) -> str:
    return next((code for kind, code in _CODES if isinstance(error, kind)), "")


def forbidden(where: object, error: Exception) -> str:
    """Return the message for a user that lacks a permission."""
    return (
        f"Redis at {where} does not permit this user what gochat needs ({error}): give it the "
        "rights that docs/how-to/redis.md lists"
    )


def _unauthenticated(where: object, error: Exception) -> str:
    return (
        f"Redis authentication failed at {where} ({error}): check the user and the password in the "
        "store's URL"
    )
