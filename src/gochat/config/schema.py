"""The keys of the configuration: types, bounds, defaults, and reasons.

``docs/reference/configuration.md`` is generated from the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from gochat.config.auth import Auth
from gochat.config.limits import DAY, Limits, Seconds, within
from gochat.config.listen import Listen, ProxyFrom


class Registration(Struct, frozen=True, kw_only=True):
    """Who may create an account."""

    mode: Annotated[
        Literal["open", "invite", "closed"],
        Meta(
            description="`open`: anybody; `invite`: who has an invitation, which `gochat admin "
            "invitation` makes; `closed`: nobody. It holds until `gochat admin registration` sets "
            "another mode, which is kept in the store."
        ),
    ] = "open"
    reserved_names: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=32)], ...],
        Meta(
            description="Names that nobody can register, nor any that look like them: those that "
            "people take for the server, or for everybody. Accounts that have one already keep it. "
            "The list takes the place of the default; an empty one reserves nothing."
        ),
    ] = ("admin", "server", "system", "nickserv", "chanserv", "everyone", "here", "room", "gochat")
    reserved_rooms: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=32)], ...],
        Meta(
            description="Names, without the `#`, of which nobody can create a room, nor one that "
            "looks like it: rooms that people take for the server's, or for everybody's. Rooms "
            "that have one already keep it. The list takes the place of the default."
        ),
    ] = ("admin", "server", "system", "everyone", "here")


class Tls(Struct, frozen=True, kw_only=True):
    """Encryption: both keys or neither."""

    cert: Annotated[
        str,
        Meta(description="Path of the certificate with its chain (PEM). Empty: no encryption."),
    ] = ""
    key: Annotated[
        str,
        Meta(description="Path of the certificate's private key (PEM), without a passphrase."),
    ] = ""


class Metrics(Struct, frozen=True, kw_only=True):
    """Where the server says how it is, by HTTP."""

    host: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=255,
            description="Address to listen on for `/metrics`, `/livez` and `/readyz`. Whoever "
            "reaches it needs no password, and sees numbers but no names or messages: keep it "
            "within this machine or your own network.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        within(
            0,
            65535,
            "Port for it. 0: none, so that servers beside each other don't contend for one. Of "
            "several `--workers` the first one has this port, the second the next one, and so on.",
        ),
    ] = 0


class Admin(Struct, frozen=True, kw_only=True):
    """Where `gochat admin` reaches the server."""

    socket: Annotated[
        str,
        Meta(
            max_length=100,
            description="Path of the unix socket for `gochat admin` (Linux). Only root and the "
            "server's own user can use it; nobody else may write in its directory. Empty: beside "
            "the SQLite file, named as that with `.admin`, or, with Redis, `redis.admin` in the "
            "user's data directory. Of several `--workers` the first one has it.",
        ),
    ] = ""


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration. `Config()` is a server for this machine only."""

    host: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=255,
            description="Address or host name to listen on: `*` is every address of this machine, "
            "IPv4 and IPv6; `0.0.0.0` those of IPv4 only, `::` those of IPv6 only. By default only "
            "this machine reaches the server; off it, use TLS.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, within(0, 65535, "Port to listen on. 0: any that is free; the log says which.")
    ] = 8889
    proxy_from: ProxyFrom = ()
    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="The server's name, for people: clients show it before somebody logs in.",
        ),
    ] = "gochat"
    motd: Annotated[
        str,
        Meta(
            max_length=2000,
            description="A message of the day, for people: clients show it to who connects, the "
            "app in the header of the lobby. It is not secret: anybody who reaches the port can "
            "read it. Empty: none.",
        ),
    ] = ""
    store: Annotated[
        str,
        Meta(
            description="Where everything is kept: `sqlite:///PATH` or `redis://HOST:PORT`. "
            "Empty: a SQLite file in the user's data directory."
        ),
    ] = ""
    store_wait: Annotated[
        Seconds,
        within(
            0,
            DAY,
            "Seconds for which a server that starts waits for a Redis that is not up yet. The "
            "default is enough for one that starts at the same time and loads some gigabytes.",
        ),
    ] = 30.0
    disk_warning: Annotated[
        int,
        within(
            0,
            1_000_000_000,
            "MiB of free space on the disk of a SQLite file below which the log warns. 0: never. "
            "The default is some million messages.",
        ),
    ] = 1024
    websocket: Annotated[
        bool,
        Meta(
            description="Whether pages in browsers can connect by WebSocket, on the same port. "
            "Other clients connect as ever."
        ),
    ] = False
    websocket_origins: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=300)], ...],
        Meta(
            description="Where such pages may come from, as in the address line up to the path: "
            "`https://chat.example.org`, `http://127.0.0.1:8000`; `null` is a page from a file, "
            "`*` is any page. Without any: pages from the host and port of this server, under its "
            "address, or, with TLS, its name."
        ),
    ] = ()
    key_file: Annotated[
        str,
        Meta(
            description="File in which the server keeps a key while it runs (mode 600), by which "
            "programs of its user know that it is their server. `gochat chat` sets it for the "
            "server that it starts. Empty: none."
        ),
    ] = ""
    log_format: Annotated[
        Literal["auto", "console", "json"],
        Meta(description="`auto`: readable on a terminal, JSON lines otherwise."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least important events to log."),
    ] = "info"
    #: In the file only. Without any, it is `host`, `port` and `proxy_from`.
    listen: tuple[Listen, ...] = ()
    tls: Tls = Tls()
    registration: Registration = Registration()
    auth: Auth = Auth()
    metrics: Metrics = Metrics()
    admin: Admin = Admin()
    limits: Limits = Limits()

    @property
    def listeners(self) -> tuple[Listen, ...]:
        """Everything to listen on, unless systemd hands over other sockets."""
        alone = Listen(host=self.host, port=self.port, proxy_from=self.proxy_from)
        return self.listen or (alone,)

    def encrypts(self, listen: Listen, *, is_unix: bool = False) -> bool:
        """Return whether a listener uses TLS; `is_unix` if it is a unix socket in any case."""
        if listen.tls is not None:
            return listen.tls
        return bool(self.tls.cert) and not (listen.unix or is_unix)

    @property
    def store_url(self) -> str:
        """The store's URL, even if it is the default."""
        return self.store or f"sqlite:///{default_store_path().as_posix()}"


def default_store_path() -> Path:
    """Return the path of the SQLite file if no store is configured."""
    import platformdirs

    return platformdirs.user_data_path("gochat", appauthor=False) / "gochat.db"


#: Sections: the nested structs, by their name.
SECTIONS: Final[Mapping[str, type[Struct]]] = {
    "tls": Tls,
    "registration": Registration,
    "auth": Auth,
    "metrics": Metrics,
    "admin": Admin,
    "limits": Limits,
}


#: Keys whose values nobody is shown: they may hold a password.
SECRET: Final = frozenset({"store"})
#: Keys that a running server can't change: what it listens on and where it keeps everything, what
#: clients have learned for as long as they are connected, and what its supervisor goes by.
NEEDS_RESTART: Final = frozenset(
    {"host", "port", "proxy_from", "listen", "metrics.host", "metrics.port", "admin.socket"}
    | {"store", "store_wait", "key_file", "limits.frame_bytes", "limits.drain_timeout"}
)


class Key(Struct, frozen=True):
    """One key of the configuration; `name` is dotted, `type` includes its `Meta`."""

    name: str
    type: Any
    default: object

    @property
    def variable(self) -> str:
        """The environment variable's name."""
        return "GOCHAT_" + self.name.upper().replace(".", "_")

    def value(self, config: Config) -> object:
        """Return the value of this key in a configuration."""
        return attrgetter(self.name)(config)

    @property
    def description(self) -> str:
        """Its meaning and unit, and the reason for its bound."""
        return next(m.description or "" for m in get_args(self.type)[1:] if isinstance(m, Meta))

    @property
    def expected(self) -> str:
        """The accepted values, in words."""
        return _describe_type(self.type)


def _find_keys(struct: type[Struct], prefix: str = "") -> Iterator[Key]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        if field.name == "listen":
            continue  # not one value: LISTEN_KEYS
        if field.name in SECTIONS and not prefix:
            yield from _find_keys(SECTIONS[field.name], f"{field.name}.")
        else:
            yield Key(prefix + field.name, hints[field.name], field.default)


#: All keys, in the order of the fields.
KEYS: Final[Mapping[str, Key]] = {key.name: key for key in _find_keys(Config)}


#: The keys of each `[[listen]]`, by their short names.
LISTEN_KEYS: Final[Mapping[str, Key]] = {
    key.name.removeprefix("listen."): key for key in _find_keys(Listen, "listen.")
}


def bare_type(type_: Any) -> Any:
    """Return `type_` without its bounds and its description."""
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _describe_type(type_: Any) -> str:
    bare = bare_type(type_)
    bounds = next((m for m in get_args(type_)[1:] if isinstance(m, Meta)), Meta())
    if get_origin(bare) is Literal:
        return "one of " + ", ".join(get_args(bare))
    if get_origin(bare) is tuple:
        return f"a list, each {_describe_type(get_args(bare)[0])}"
    if bare in (bool, bool | None):
        return "true or false"
    if bare is str:
        if bounds.min_length is not None:
            return f"a text of {bounds.min_length} to {bounds.max_length} characters"
        if bounds.max_length is not None:
            return f"a text of at most {bounds.max_length} characters"
        return "a text"
    number = "a whole number" if bare is int else "a number"
    return f"{number} from {bounds.ge} to {bounds.le}"
