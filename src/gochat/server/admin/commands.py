"""All commands of the admin socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gochat.server.admin import (
    accounts,
    address_bans,
    audit,
    changes,
    deleting,
    export,
    registration,
    retention,
    rooms,
)
from gochat.server.admin.command import Command

#: By their names, in the order of the help.
COMMANDS: Final[Mapping[str, Command]] = {
    **accounts.COMMANDS,
    **changes.COMMANDS,
    **deleting.COMMANDS,
    **address_bans.COMMANDS,
    **registration.COMMANDS,
    **rooms.COMMANDS,
    **retention.COMMANDS,
    **export.COMMANDS,
    **audit.COMMANDS,
}
