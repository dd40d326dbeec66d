"""The keys of `[limits]`: types, bounds, defaults, and reasons."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

#: All durations are in seconds.
Seconds = float

DAY: Final = 24 * 3600


def within(low: float, high: float, text: str) -> Meta:
    """Return the bounds of a number, and its description."""
    return Meta(ge=low, le=high, description=text)


class Limits(Struct, frozen=True, kw_only=True):
    """The server's limits on clients and connections. Durations are in seconds."""

    # Passwords and logins.
    argon2_memory: Annotated[
        int,
        within(
            8, 4 * 1024 * 1024, "KiB of memory for one argon2id hash. The default is OWASP's floor."
        ),
    ] = 19456
    argon2_time: Annotated[
        int, within(1, 100, "Passes over that memory. With the defaults a hash takes some 20 ms.")
    ] = 2
    argon2_parallelism: Annotated[
        int, within(1, 64, "Lanes of one hash. 1: many logins at once share the cores already.")
    ] = 1
    hashing_queue: Annotated[
        int,
        within(
            0,
            100_000,
            "Logins that may be in line for a core to hash on, before the next one gets `busy`. "
            "0: 256, and more as long as the last one waits less than 8 s.",
        ),
    ] = 0
    password_min: Annotated[
        int, within(1, 128, "Characters of a password at least. Length is what resists guessing.")
    ] = 8
    password_max: Annotated[
        int, within(8, 1024, "Characters of a password at most: hashing more buys nothing.")
    ] = 128
    login_failures: Annotated[
        int, within(1, 1000, "Failed logins per minute and connection, then `rate_limited`.")
    ] = 3
    login_failures_account: Annotated[
        int,
        within(
            1,
            10_000,
            "Failed logins for one account from one address, after which each further one doubles "
            "the wait. Per address, so that a guesser can't lock out the owner.",
        ),
    ] = 5
    login_failures_address: Annotated[
        int,
        within(
            1,
            100_000,
            "Failed logins from one address, after which its tries wait in line. Accounts that "
            "logged in from there in the last 30 days don't count, and don't wait.",
        ),
    ] = 20
    login_lockout: Annotated[
        Seconds,
        within(
            1,
            30 * DAY,
            "Seconds for which such an address is slowed down, after the last failure. Also the "
            "longest wait for one account.",
        ),
    ] = 3600.0
    login_interval: Annotated[
        Seconds, within(0, 3600, "Seconds between two tries from such an address.")
    ] = 3.0
    login_line: Annotated[
        int,
        within(
            1, 1000, "Tries from such an address that may wait, before the next is `rate_limited`."
        ),
    ] = 5
    registrations: Annotated[
        int,
        within(
            1,
            1_000_000,
            "Accounts that may be registered, on this server, in each window; "
            "half of them from one network (/24, or /48 of IPv6).",
        ),
    ] = 300
    registrations_per_address: Annotated[
        int,
        within(
            0,
            1_000_000,
            "Of those, from one address; so many attempts may fail besides. From its network "
            "twice as many. 0: a tenth of them.",
        ),
    ] = 0
    registration_window: Annotated[
        Seconds, within(1, 30 * DAY, "Seconds of that window: a class signs up, a robot stops.")
    ] = 600.0
    token_lifetime: Annotated[
        Seconds,
        within(
            60,
            3650 * DAY,
            "Seconds after its last use for which a session can be resumed without the password. "
            "The default, 30 days, spans a holiday.",
        ),
    ] = 30.0 * DAY

    # Connections.
    max_connections: Annotated[
        int,
        within(
            0,
            10_000_000,
            "Connections at once, then `server_full`. 0: 80 % of the limit on file descriptors, "
            "so that the store and the logs keep theirs.",
        ),
    ] = 0
    connections_per_address: Annotated[
        int,
        within(
            1,
            10_000_000,
            "Connections at once from one address. Raise it where many people share one, "
            "behind a proxy or a company's router. Of IPv6 an address is a /64; a /56 can have 4 "
            "times as many, and a /48 16 times.",
        ),
    ] = 16
    connections_per_account: Annotated[
        int,
        within(
            1,
            10_000_000,
            "Connections at once of one account, on each node. With one more, its oldest ends: "
            "`replaced`.",
        ),
    ] = 32
    anonymous_max: Annotated[
        int,
        within(
            1,
            10_000_000,
            "Connections at once that have not logged in, of all addresses. Beyond that, and "
            "beyond `max_connections`, the oldest of the network with most of them makes room "
            "for one from elsewhere.",
        ),
    ] = 256
    anonymous_timeout: Annotated[
        Seconds,
        within(
            0.1,
            3600,
            "Seconds within which a connection must have logged in, without the server's own work.",
        ),
    ] = 10.0
    anonymous_bytes: Annotated[
        int,
        within(
            1024,
            1024**3,
            "Bytes that a connection may send before it has logged in. One frame of the greatest "
            "size: a client may send what it asks for first right after its login.",
        ),
    ] = 65540
    tls_handshake_timeout: Annotated[
        Seconds,
        within(0.1, 300, "Seconds for a TLS handshake, and for the header of a WebSocket."),
    ] = 5.0

    # Frames.
    frame_bytes: Annotated[
        int,
        within(
            64 * 1024,  # lists of people and rooms are cut for this
            16 * 1024 * 1024,
            "Bytes of a frame's body at most, both ways. Large enough for a page of history, "
            "small enough that each connection can hold one back.",
        ),
    ] = 65536
    frame_timeout: Annotated[
        Seconds, within(0.1, 3600, "Seconds from a frame's first byte to its last.")
    ] = 10.0
    malformed_frames: Annotated[
        int,
        within(1, 1_000_000, "Frames of a connection that don't decode; the last one ends it."),
    ] = 16

    # Messages.
    burst: Annotated[
        int,
        within(
            1,
            1_000_000,
            "Messages that a person may send at once, from all devices, before they must wait.",
        ),
    ] = 10
    per_second: Annotated[
        float,
        within(0.01, 1_000_000, "Messages per second after that: faster than anybody types."),
    ] = 5.0
    request_budget: Annotated[
        float,
        within(
            100,
            1e9,
            "What a person's other requests may cost at once, from all devices, before they must "
            "wait; a point is about 1 ms of the processor. An address has that "
            "`connections_per_address` times.",
        ),
    ] = 1000.0
    request_budget_per_second: Annotated[
        float,
        within(
            1,
            1e9,
            "Points per second after that; for an address a quarter of that "
            "`connections_per_address` times.",
        ),
    ] = 50.0
    bytes_per_day: Annotated[
        int,
        within(
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
        within(
            1,
            1_000_000,
            "Private conversations that a person may begin in a day, as this server remembers it: "
            "each stays in the lists of both. More than `registrations` lets in at once, so that a "
            "bot can greet each of them.",
        ),
    ] = 500
    reports_per_day: Annotated[
        int,
        within(
            1,
            100_000,
            "Reports of messages that a person may make in a day, as this server remembers it: "
            "somebody has to read each.",
        ),
    ] = 20
    rooms_per_day: Annotated[
        int,
        within(
            1,
            1_000_000,
            "Rooms that a person may create in a day, as this server remembers it: each is there "
            "for good, and makes searching and listing longer for everybody.",
        ),
    ] = 100
    text_chars: Annotated[
        int,
        within(
            1,
            1_000_000,
            "Characters of a message. Escaped, each of the worst kind, they must fit a frame.",
        ),
    ] = 4000
    history_page: Annotated[
        int, within(1, 200, "Messages in one page of history; 200 is the protocol's own limit.")
    ] = 200
    typing_interval: Annotated[
        Seconds,
        within(
            0,
            3600,
            "Seconds between two notices of one person's typing in one conversation, and on "
            "average in all; three may come at once.",
        ),
    ] = 3.0
    presence_interval: Annotated[
        Seconds,
        within(
            0,
            60,
            "Seconds for which arrivals and departures are collected, so that thousands of people "
            "arriving at once don't cost their number squared.",
        ),
    ] = 0.1

    # Peers that are slow or gone.
    heartbeat_interval: Annotated[
        Seconds, within(0.1, 3600, "Seconds of silence after which a client is sent a `ping`.")
    ] = 25.0
    heartbeat_timeout: Annotated[
        Seconds, within(0.1, 3600, "Seconds it then has to send anything at all.")
    ] = 8.0
    mailbox_bytes: Annotated[
        int,
        within(
            64 * 1024,
            1024**4,
            "Bytes that may wait for one slow reader before it is cut; each piece that waits "
            "counts 64 more, for what it costs to keep. At least four frames of `frame_bytes`.",
        ),
    ] = 1024 * 1024
    write_timeout: Annotated[
        Seconds, within(0.1, 3600, "Seconds for which a reader may take nothing of what waits.")
    ] = 10.0
    drain_timeout: Annotated[
        Seconds, within(0, 3600, "Seconds that a stopping server takes for what is under way.")
    ] = 10.0
