"""The keys of `[auth]`: types, bounds, defaults, and reasons."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gochat.config.limits import DAY, Seconds, within


class Auth(Struct, frozen=True, kw_only=True):
    """Who checks passwords."""

    command: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1000)], ...],
        Meta(
            description="A program that checks passwords in the server's place, by its absolute "
            "path, and its arguments; no secrets, because all users of the machine see them. "
            "Without any: the server checks them."
        ),
    ] = ()
    local: Annotated[
        bool,
        Meta(
            description="With `command`: whether accounts that have a password here log in with "
            "that, and may be registered, as `registration` says, which then can't be open. The "
            "program is asked for all others."
        ),
    ] = False
    timeout: Annotated[
        Seconds,
        within(0.1, 300, "Seconds that the program may take; then it and its children are killed."),
    ] = 10.0
    concurrency: Annotated[
        int, within(1, 1000, "How many of it may run at once, so that no crowd starts hundreds.")
    ] = 4
    queue: Annotated[
        int,
        within(
            1,
            100_000,
            "Logins that may wait for it, those included that it runs for, before the next one "
            "gets `busy`.",
        ),
    ] = 64
    recheck: Annotated[
        Seconds,
        within(
            0,
            30 * DAY,
            "Seconds after which it is asked again, without the password, whether a person who "
            "is online may go on; if not, all their sessions end. 0: never. Then who has left may "
            "go on until their session expires (`limits.token_lifetime`).",
        ),
    ] = 3600.0
