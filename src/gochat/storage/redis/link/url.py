"""Parse a Redis URL: the servers, the credentials, and gochat's options.

A URL may contain a password. So no text that is made here for people repeats it: neither in errors,
nor in logs, nor in a ``repr``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from gochat.errors import ConfigError

Kind: TypeAlias = Literal["standalone", "sentinel", "cluster"]

#: The kind of deployment, and whether connections are encrypted, by scheme.
SCHEMES: Final[Mapping[str, tuple[Kind, bool]]] = {
    "redis": ("standalone", False),
    "rediss": ("standalone", True),
    "unix": ("standalone", False),
    "redis+unix": ("standalone", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}

DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379
MAX_PARTITIONS: Final = 1024

_DAY: Final = 24 * 3600


class Host(Struct, frozen=True):
    """The address of a server; with `path`, a Unix socket."""

    name: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Secret:
    """A user name and password that their ``repr`` hides."""

    __slots__ = ("password", "user")

    def __init__(self, user: str | None = None, password: str | None = None) -> None:
        self.user: Final = user
        self.password: Final = password

    def __repr__(self) -> str:
        return "Secret(…)"


class Options(Struct, frozen=True, kw_only=True):
    """The query parameters of the URL. Times are in seconds."""

    #: For connecting, and for each reply. Long enough for a disk that is slow to sync, short enough
    #: that people get the error while they still look.
    timeout: float = 3.0
    #: Replicas that must have an entry before it is acknowledged.
    wait: int = 0
    wait_timeout: float = 1.0
    #: Number of partitions, set when the data is created. None: unchanged.
    partitions: int | None = None
    #: Prefix of all keys: several deployments can share one Redis.
    prefix: str = "gochat"
    #: Newest entries kept of each conversation; 0: all.
    keep: int = 0
    #: For how long, and for how many entries per partition, a node that was away can catch up.
    feed_time: float = 600.0
    feed_entries: int = 20_000
    #: After which a silent node is considered gone.
    lease: float = 15.0
    #: For TLS: the trusted certificates, and the client's own.
    ca: str = ""
    cert: str = ""
    key: str = ""


class Location(Struct, frozen=True, kw_only=True):
    """A Redis deployment."""

    kind: Kind
    hosts: tuple[Host, ...]
    secret: Secret
    database: int = 0
    service: str = ""  # the master's name at the sentinels
    is_encrypted: bool = False
    sentinel_secret: Secret = Secret()
    options: Options = Options()

    def __str__(self) -> str:
        """Return the URL without its secrets, for people."""
        scheme = ("rediss" if self.is_encrypted else "redis") + (
            "" if self.kind == "standalone" else f"+{self.kind}"
        )
        if self.hosts[0].path:
            return f"unix://{self.hosts[0].path}"
        hosts = ",".join(map(str, self.hosts))
        service = f"/{self.service}" if self.service else ""
        database = f"/{self.database}" if self.database else ""
        return f"{scheme}://{hosts}{service}{database}"


def parse_url(url: str) -> Location:
    """Parse a URL.

    Raises:
        ConfigError: it is invalid; the message does not repeat it.
    """
    scheme, _, remainder = url.partition("://")
    kind, is_encrypted = SCHEMES[scheme]
    remainder, _, query = remainder.partition("?")
    options, extra = _options(scheme, query)
    userinfo, at, remainder = remainder.rpartition("@")
    secret = _secret(userinfo) if at else Secret()
    if scheme in ("unix", "redis+unix"):
        if not remainder.startswith("/"):
            raise ConfigError(f"a {scheme}:// URL needs the socket's absolute path")
        hosts: tuple[Host, ...] = (Host(path=unquote(remainder)),)
        path: list[str] = []
    else:
        addresses, _, behind = remainder.partition("/")
        port = DEFAULT_SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
        hosts = tuple(_host(address, port) for address in addresses.split(","))
        path = [unquote(part) for part in behind.split("/") if part]
    if kind == "standalone" and len(hosts) > 1:
        raise ConfigError(f"a {scheme}:// URL has one host: use redis+cluster or redis+sentinel")
    service = ""
    if kind == "sentinel":
        if not path:
            raise ConfigError("write redis+sentinel://HOST:PORT/SERVICE: the master's name")
        service = path.pop(0)
    database = extra.get("db", path.pop(0) if path else "0")
    if path or not database.isascii() or not database.isdigit():
        raise ConfigError(f"a {scheme}:// URL ends with the number of the database, or nothing")
    if kind == "cluster" and int(database):
        raise ConfigError("a Redis Cluster has only database 0")
    return Location(
        kind=kind,
        hosts=hosts,
        secret=secret,
        database=int(database),
        service=service,
        is_encrypted=is_encrypted,
        sentinel_secret=Secret(extra.get("sentinel_user"), extra.get("sentinel_password")),
        options=options,
    )


def _secret(userinfo: str) -> Secret:
    user, colon, password = userinfo.partition(":")
    if not colon:  # as elsewhere, a single word is the user's name
        return Secret(unquote(user) or None)
    return Secret(unquote(user) or None, unquote(password))


def _host(address: str, default_port: int) -> Host:
    name, port = address, ""
    if address.startswith("["):
        name, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif ":" in address:
        name, _, port = address.partition(":")
    try:
        number = int(port) if port else default_port
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ConfigError(f"the store's URL: {name!r} has no valid port")
    return Host(unquote(name) or "localhost", number)


def _number(low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        number = float(text)
        if not low <= number <= high:
            raise ValueError
        return number

    convert.__doc__ = f"a number from {low:g} to {high:g}"
    return convert


def _count(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    convert.__doc__ = f"a whole number from {low} to {high}"
    return convert


def _prefix(text: str) -> str:
    """1 to 64 letters, digits and signs, without braces"""
    if not 1 <= len(text) <= 64 or not text.isprintable() or set(text) & set(" {}*?[]"):
        raise ValueError
    return text


_CONVERTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "timeout": _number(0.05, 60),
    "wait": _count(0, 100),
    "wait_timeout": _number(0.01, 60),
    "partitions": _count(1, MAX_PARTITIONS),
    "prefix": _prefix,
    "keep": _count(0, 1_000_000_000),
    "lease": _number(0.5, 3600),
    "feed_time": _number(1, 30 * _DAY),
    "feed_entries": _count(100, 100_000_000),
    "ca": str,
    "cert": str,
    "key": str,
}
_EXTRA: Final = frozenset({"db", "sentinel_user", "sentinel_password"})


def _options(scheme: str, query: str) -> tuple[Options, dict[str, str]]:
    values: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name in _EXTRA:
            extra[name] = text
            continue
        if name not in _CONVERTERS:
            known = ", ".join(sorted({*_CONVERTERS, *_EXTRA}))
            raise ConfigError(f"a {scheme}:// URL has no option {name[:32]!r}; it has {known}")
        convert = _CONVERTERS[name]
        try:
            values[name] = convert(text)
        except ValueError:
            raise ConfigError(f"the store's URL: {name} takes {convert.__doc__}") from None
    options = Options(**values)
    if options.wait and options.wait_timeout >= options.timeout:
        raise ConfigError("the store's URL: wait_timeout must be less than timeout")
    if bool(options.cert) != bool(options.key):
        raise ConfigError("the store's URL: cert and key go together")
    return options, extra
