"""What ``gochat admin`` does in a store that no server uses."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from gochat.chat.server_roles import ServerRole
from gochat.cli.admin import output
from gochat.errors import ChatError, ConfigError, StoreCorrupt, StoreUnavailable

if TYPE_CHECKING:  # imported in the functions: most commands need no store
    from gochat.chat.account import Account
    from gochat.chat.store import Store

_HOUR: Final = 3600 * 1000

#: Changes an account in a store, and returns what to print.
Act: TypeAlias = "Callable[[Store, Account, argparse.Namespace], Awaitable[dict[str, Any]]]"


def add_arguments(actions: Any) -> None:
    """Add the subcommands to those of ``gochat admin``."""
    its = actions.add_parser(
        "grant",
        help="set a role in the store of a server that is stopped",
        description="Set a role in the store of a server that is stopped.",
        allow_abbrev=False,
    )
    its.add_argument("name", metavar="NAME", help="the account")
    its.add_argument("role", choices=get_args(ServerRole), help="its new role")
    _add_common(its, "grant", _grant)
    its = actions.add_parser(
        "reset-password",
        help="make a one-time code in the store of a server that is stopped",
        description="Make a one-time code in the store of a server that is stopped.",
        allow_abbrev=False,
    )
    its.add_argument("name", metavar="NAME", help="the account")
    its.add_argument(
        "--hours",
        type=int,
        choices=range(1, 30 * 24 + 1),
        metavar="HOURS",
        default=24,
        help="hours for which the code is valid (default: 24)",
    )
    _add_common(its, "reset-password", _reset)


def _add_common(parser: argparse.ArgumentParser, word: str, act: Act) -> None:
    parser.add_argument("--reason", default="", help="why, for the audit log")
    parser.add_argument(
        "--store", metavar="URL", help="the store (default: the server's, as configured)"
    )
    parser.add_argument(
        "--config", metavar="PATH", type=Path, help="the server's configuration file (TOML)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, also on errors")
    parser.set_defaults(carry_out=partial(_run, word, act))


def _run(word: str, act: Act, args: argparse.Namespace) -> int:
    import trio

    from gochat.chat import names
    from gochat.chat.account import require_not_deleted
    from gochat.chat.administration import AuditEntry
    from gochat.config import load_store_url
    from gochat.server.admin.accounts import nobody
    from gochat.storage.common.clock import wall_clock
    from gochat.storage.idle import open_idle

    url = load_store_url(args.config, flag=args.store)

    async def carry_out() -> dict[str, Any]:
        async with open_idle(url) as store:
            account = await store.account(names.fold_person(args.name))
            if account is None:
                raise ConfigError(nobody(args.name).text)
            require_not_deleted(account)
            entry = AuditEntry(
                at=wall_clock(),
                actor=f"uid {os.geteuid()}" if hasattr(os, "geteuid") else getpass.getuser(),
                act=f"{word} (offline)",
                subject=account.name,
                detail=f"{account.role} to {args.role}" if word == "grant" else "",
                reason=args.reason[:500],
            )
            await store.administration.record(entry)
            return await act(store, account, args)

    try:
        result = trio.run(carry_out)
    except StoreCorrupt:
        raise
    except StoreUnavailable as error:
        if "in use" not in str(error):
            raise
        raise StoreUnavailable(
            f"{error}: gochat admin {_ONLINE[word]} does this while a server runs"
        ) from error
    except ChatError as error:
        raise ConfigError(error.text) from error
    output.print_result(result, as_json=args.json)
    return 0


#: What does the same on a running server.
_ONLINE: Final = {"grant": "role set", "reset-password": "account reset-password"}


async def _grant(store: Store, account: Account, args: argparse.Namespace) -> dict[str, Any]:
    from msgspec.structs import replace

    from gochat.chat.accounts import has_changed

    after = replace(account, role=args.role)
    if not await store.administration.change_account(account, after):
        raise has_changed(account.name)
    return {"name": account.name, "role": after.role}


async def _reset(store: Store, account: Account, args: argparse.Namespace) -> dict[str, Any]:
    from gochat.chat.accounts import Accounts
    from gochat.storage.common.clock import wall_clock

    issued = await Accounts(store, wall_clock).reset_password(account, args.hours * _HOUR)
    return {"name": account.name, "code": issued.code, "expires": issued.expires}
