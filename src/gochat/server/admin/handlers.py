"""What carries out the commands of the admin socket."""

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
    many,
    registration,
    reports,
    retention,
    rooms,
)
from gochat.server.admin.call import Handler

#: By the names of the commands.
HANDLERS: Final[Mapping[str, Handler]] = {
    **accounts.HANDLERS,
    **changes.HANDLERS,
    **many.HANDLERS,
    **deleting.HANDLERS,
    **address_bans.HANDLERS,
    **reports.HANDLERS,
    **registration.HANDLERS,
    **rooms.HANDLERS,
    **retention.HANDLERS,
    **export.HANDLERS,
    **audit.HANDLERS,
}
