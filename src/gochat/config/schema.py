"""The keys of the configuration: types, bounds, defaults, and reasons.

``docs/reference/configuration.md`` is generated from the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

_Seconds = float  # all durations are in seconds

_DAY: Final = 24 * 3600


def _within(low: float, high: float, text: str) -> Meta:
    return Meta(ge=low, le=high, description=text)


class Limits(Struct, frozen=True, kw_only=True):
    """The server's limits on clients and connections. Durations are in seconds."""

    # Passwords and logins.
    argon2_memory: Annotated[
        int,
        _within(
            8, 4 * 1024 * 1024, "KiB of memory for one argon2id hash. The default is OWASP's floor."
        ),
    ] = 19456
    argon2_time: Annotated[
        int, _within(1, 100, "Passes over that memory. With the defaults a hash takes some 20 ms.")
    ] = 2
    argon2_parallelism: Annotated[
        int, _within(1, 64, "Lanes of one hash. 1: many logins at once share the cores already.")
    ] = 1
    hashing_queue: Annotated[
        int,
        _within(
            1,
            100_000,
            "Logins that may be in line for a core to hash on, before the next one gets `busy`. "
            "The default is some 3 s of work on two cores.",
        ),
    ] = 256
    password_min: Annotated[
        int, _within(1, 128, "Characters of a password at least. Length is what resists guessing.")
    ] = 8
    password_max: Annotated[
        int, _within(8, 1024, "Characters of a password at most: hashing more buys nothing.")
    ] = 128
    login_failures: Annotated[
        int, _within(1, 1000, "Failed logins per minute and connection, then `rate_limited`.")
    ] = 3
    login_failures_account: Annotated[
        int,
        _within(
            1,
            10_000,
            "Failed logins for one account from one address, after which each further one doubles "
            "the wait. Per address, so that a guesser can't lock out the owner.",
        ),
    ] = 5
    login_failures_address: Annotated[
        int,
        _within(
            1,
            100_000,
            "Failed logins from one address, after which its tries wait in line. Accounts that "
            "logged in from there in the last 30 days don't count, and don't wait.",
        ),
    ] = 20
    login_lockout: Annotated[
        _Seconds,
        _within(
            1,
            30 * _DAY,
            "Seconds for which such an address is slowed down, after the last failure. Also the "
            "longest wait for one account.",
        ),
    ] = 3600.0
    login_interval: Annotated[
        _Seconds, _within(0, 3600, "Seconds between two tries from such an address.")
    ] = 3.0
    login_line: Annotated[
        int,
        _within(
            1, 1000, "Tries from such an address that may wait, before the next is `rate_limited`."
        ),
    ] = 5
    registrations: Annotated[
        int,
        _within(
            1,
            1_000_000,
            "Accounts that may be registered, on this server, in each window; "
            "half of them from one network (/24, or /48 of IPv6).",
        ),
    ] = 300
    registrations_per_address: Annotated[
        int,
        _within(
            1,
            1_000_000,
            "Of those, from one address; so many attempts may fail besides. From its network "
            "twice as many.",
        ),
    ] = 30
    registration_window: Annotated[
        _Seconds, _within(1, 30 * _DAY, "Seconds of that window: a class signs up, a robot stops.")
    ] = 600.0
    token_lifetime: Annotated[
        _Seconds,
        _within(
            60,
            3650 * _DAY,
            "Seconds after its last use for which a session can be resumed without the password. "
            "The default, 30 days, spans a holiday.",
        ),
    ] = 30.0 * _DAY

    # Connections.
    max_connections: Annotated[
        int,
        _within(
            0,
            10_000_000,
            "Connections at once, then `server_full`. 0: 80 % of the limit on file descriptors, "
            "so that the store and the logs keep theirs.",
        ),
    ] = 0
    connections_per_address: Annotated[
        int,
        _within(
            1,
            10_000_000,
            "Connections at once from one address. Raise it where many people share one, "
            "behind a proxy or a company's router. Of IPv6 an address is a /64; a /56 can have 4 "
            "times as many, and a /48 16 times.",
        ),
    ] = 16
    connections_per_account: Annotated[
        int,
        _within(
            1,
            10_000_000,
            "Connections at once of one account, on each node. With one more, its oldest ends: "
            "`replaced`.",
        ),
    ] = 32
    anonymous_max: Annotated[
        int,
        _within(
            1,
            10_000_000,
            "Connections at once that have not logged in, of all addresses. Beyond that, and "
            "beyond `max_connections`, the oldest of the network with most of them makes room "
            "for one from elsewhere.",
        ),
    ] = 256
    anonymous_timeout: Annotated[
        _Seconds,
        _within(
            0.1,
            3600,
            "Seconds within which a connection must have logged in, without the server's own work.",
        ),
    ] = 10.0
    anonymous_bytes: Annotated[
        int,
        _within(
            1024,
            1024**3,
            "Bytes that a connection may send before it has logged in. One frame of the greatest "
            "size: a client may send what it asks for first right behind its login.",
        ),
    ] = 65540
    tls_handshake_timeout: Annotated[
        _Seconds,
        _within(0.1, 300, "Seconds for a TLS handshake, and for the header of a WebSocket."),
    ] = 5.0

    # Frames.
    frame_bytes: Annotated[
        int,
        _within(
            64 * 1024,  # lists of people and rooms are cut for this
            16 * 1024 * 1024,
            "Bytes of a frame's body at most, both ways. Large enough for a page of history, "
            "small enough that each connection can hold one back.",
        ),
    ] = 65536
    frame_timeout: Annotated[
        _Seconds, _within(0.1, 3600, "Seconds from a frame's first byte to its last.")
    ] = 10.0
    malformed_frames: Annotated[
        int,
        _within(1, 1_000_000, "Frames of a connection that don't decode; the last one ends it."),
    ] = 16

    # Messages.
    burst: Annotated[
        int,
        _within(
            1,
            1_000_000,
            "Messages that a person may send at once, from all devices, before they must wait.",
        ),
    ] = 10
    per_second: Annotated[
        float,
        _within(0.01, 1_000_000, "Messages per second after that: faster than anybody types."),
    ] = 5.0
    request_budget: Annotated[
        float,
        _within(
            100,
            1e9,
            "What a person's other requests may cost at once, from all devices, before they must "
            "wait; a point is about 1 ms of the processor. An address has that "
            "`connections_per_address` times.",
        ),
    ] = 1000.0
    request_budget_per_second: Annotated[
        float,
        _within(
            1,
            1e9,
            "Points per second after that; for an address a quarter of that "
            "`connections_per_address` times.",
        ),
    ] = 50.0
    bytes_per_day: Annotated[
        int,
        _within(
            100_000,
            10**15,
            "Bytes that a person may write to the log in a day, as this server remembers it: of "
            "texts, edits, topics and the like in UTF-8, and 100 for each entry. On SQLite's disk "
            "they become up to twice as many, or 12 times if all of it is random. The default, 64 "
            "MiB, is a line of 50 characters five times a second all day long, or 16,000 of the "
            "longest messages in ASCII.",
        ),
    ] = 64 * 1024 * 1024
    conversations_per_day: Annotated[
        int,
        _within(
            1,
            1_000_000,
            "Private conversations that a person may begin in a day, as this server remembers it: "
            "each stays in the lists of both. More than `registrations` lets in at once, so that a "
            "bot can greet each of them.",
        ),
    ] = 500
    rooms_per_day: Annotated[
        int,
        _within(
            1,
            1_000_000,
            "Rooms that a person may create in a day, as this server remembers it: each is there "
            "for good, and makes searching and listing longer for everybody.",
        ),
    ] = 100
    text_chars: Annotated[
        int,
        _within(
            1,
            1_000_000,
            "Characters of a message. Escaped, each of the worst kind, they must fit a frame.",
        ),
    ] = 4000
    history_page: Annotated[
        int, _within(1, 200, "Messages in one page of history; 200 is the protocol's own limit.")
    ] = 200
    typing_interval: Annotated[
        _Seconds,
        _within(
            0,
            3600,
            "Seconds between two notices of one person's typing in one conversation, and on "
            "average in all; three may come at once.",
        ),
    ] = 3.0
    presence_interval: Annotated[
        _Seconds,
        _within(
            0,
            60,
            "Seconds for which arrivals and departures are collected, so that thousands of people "
            "arriving at once don't cost their number squared.",
        ),
    ] = 0.1

    # Peers that are slow or gone.
    heartbeat_interval: Annotated[
        _Seconds, _within(0.1, 3600, "Seconds of silence after which a client is sent a `ping`.")
    ] = 25.0
    heartbeat_timeout: Annotated[
        _Seconds, _within(0.1, 3600, "Seconds it then has to send anything at all.")
    ] = 8.0
    mailbox_bytes: Annotated[
        int,
        _within(
            64 * 1024,
            1024**4,
            "Bytes that may wait for one slow reader before it is cut; each piece that waits "
            "counts 64 more, for what it costs to keep. At least four frames of `frame_bytes`.",
        ),
    ] = 1024 * 1024
    write_timeout: Annotated[
        _Seconds, _within(0.1, 3600, "Seconds for which a reader may take nothing of what waits.")
    ] = 10.0
    drain_timeout: Annotated[
        _Seconds, _within(0, 3600, "Seconds that a stopping server takes for what is under way.")
    ] = 10.0


class Registration(Struct, frozen=True, kw_only=True):
    """Who may create an account."""

    mode: Annotated[
        Literal["open", "invite", "closed"],
        Meta(description="`open`: anybody; `invite`: who has one of the codes; `closed`: nobody."),
    ] = "open"
    invites: Annotated[
        tuple[Annotated[str, Meta(min_length=8, max_length=200)], ...],
        Meta(
            description="The invite codes; each can be used until it is taken off the list. "
            "At least 8 characters, so that they aren't guessed."
        ),
    ] = ()
    reserved_names: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=32)], ...],
        Meta(
            description="Names that nobody can register, nor any that look like them: those that "
            "people take for the server, or for everybody. Accounts that have one already keep it. "
            "The list takes the place of the default; an empty one reserves nothing."
        ),
    ] = ("admin", "server", "system", "nickserv", "chanserv", "everyone", "here", "gochat")
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
        int, _within(0, 65535, "Port to listen on. 0: any that is free; the log says which.")
    ] = 8889
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
            description="A message of the day, for people: clients can show it to who connects. "
            "It is not secret: anybody who reaches the port can read it. Empty: none.",
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
        _Seconds,
        _within(
            0,
            _DAY,
            "Seconds for which a server that starts waits for a Redis that is not up yet. The "
            "default is enough for one that starts at the same time and loads some gigabytes.",
        ),
    ] = 30.0
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
    tls: Tls = Tls()
    registration: Registration = Registration()
    limits: Limits = Limits()

    @property
    def bind_host(self) -> str | None:
        """The host as `getaddrinfo` takes it: None is every address."""
        return None if self.host == "*" else self.host

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
    "limits": Limits,
}


class Key(Struct, frozen=True):
    """One key of the configuration; `name` is dotted, `type` includes its `Meta`."""

    name: str
    type: Any
    default: object

    @property
    def variable(self) -> str:
        """The environment variable's name."""
        return "GOCHAT_" + self.name.upper().replace(".", "_")

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
        if field.name in SECTIONS and not prefix:
            yield from _find_keys(SECTIONS[field.name], f"{field.name}.")
        else:
            yield Key(prefix + field.name, hints[field.name], field.default)


#: All keys, in the order of the fields.
KEYS: Final[Mapping[str, Key]] = {key.name: key for key in _find_keys(Config)}


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
    if bare is bool:
        return "true or false"
    if bare is str:
        if bounds.min_length is not None:
            return f"a text of {bounds.min_length} to {bounds.max_length} characters"
        if bounds.max_length is not None:
            return f"a text of at most {bounds.max_length} characters"
        return "a text"
    number = "a whole number" if bare is int else "a number"
    return f"{number} from {bounds.ge} to {bounds.le}"
