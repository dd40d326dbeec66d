"""What a command of the admin socket is.

The command line is made from the arguments' fields: one without a default is positional, one of
type bool is a flag, any other is an option. The description in a field's `Meta` is its help. One
with the `extra` :data:`SECRET` is read from standard input.

Results are structs, of which the command line prints each field; a field that is a tuple of structs
is printed as a table. Fields named as in :data:`TIMES` are times, in milliseconds since the Unix
epoch, 0 for none. A result that is one page of many has `next`, what to give as `after` for the
next page, empty on the last.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from gochat.chat.server_roles import ActorRole

#: Fields that are times.
TIMES: Final = frozenset({"at", "created", "seen", "expires"})
#: The `extra` of a field that is a number of seconds: on the command line ``--for 7d``.
DURATION: Final = {"duration": True}
#: The `extra` of a field that no list of processes should show.
SECRET: Final = {"secret": True}
#: The `extra` of a field that the command line does not have.
HIDDEN: Final = {"hidden": True}


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of a command."""


class Command(NamedTuple):
    """A row of the table: arguments, the least role that may send it, and its summary.

    `acts`: it takes a reason, and records what it does
    (:meth:`gochat.server.admin.call.Call.record`). `exports`: its result is a page of `records`,
    which the command line writes to a file, page after page (:mod:`gochat.server.admin.export`).
    `lists`: the command line sends a list from a file, in pieces (:mod:`gochat.server.admin.many`).
    """

    arguments: type[Arguments]
    least: ActorRole
    summary: str
    acts: bool = False
    exports: bool = False
    lists: bool = False
