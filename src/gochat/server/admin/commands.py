"""All commands of the admin socket, without what carries them out (:mod:`.handlers`).

Whoever sends commands needs nothing else of the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gochat.server.admin import arguments
from gochat.server.admin.command import Command

#: By their names, in the order of the help.
COMMANDS: Final[Mapping[str, Command]] = {
    "account list": Command(arguments.AccountPage, "moderator", "list the accounts, by name"),
    "account show": Command(
        arguments.OfAccount,
        "moderator",
        "show an account: its sessions, rooms, when it was last seen",
    ),
    "account create": Command(
        arguments.NewAccount,
        "admin",
        "create an account, with a password or a one-time code",
        acts=True,
    ),
    "account create-many": Command(
        arguments.NewAccounts,
        "owner",
        "create accounts for a list of names, each with a one-time code",
        acts=True,
        lists=True,
    ),
    "account disable": Command(
        arguments.OfAccount,
        "admin",
        "disable an account: its sessions end, and nobody can log in",
        acts=True,
    ),
    "account enable": Command(
        arguments.OfAccount,
        "admin",
        "enable a disabled account again",
        acts=True,
    ),
    "account reset-password": Command(
        arguments.Reset,
        "admin",
        "replace a forgotten password with a one-time code; the sessions end",
        acts=True,
    ),
    "account ban": Command(
        arguments.Restricting,
        "admin",
        "ban an account for a time: its sessions end, nobody logs in",
        acts=True,
    ),
    "account unban": Command(arguments.OfAccount, "admin", "lift a ban", acts=True),
    "account mute": Command(
        arguments.Restricting,
        "admin",
        "let an account write nothing in #lobby and public rooms for a time",
        acts=True,
    ),
    "account unmute": Command(arguments.OfAccount, "admin", "let it write again", acts=True),
    "account restrictions": Command(
        arguments.RestrictionPage,
        "moderator",
        "list who is banned or muted, until when and why",
    ),
    "account end-sessions": Command(
        arguments.OfAccount,
        "admin",
        "end all sessions of an account",
        acts=True,
    ),
    "role set": Command(
        arguments.NewRole,
        "owner",
        "make an account a member, moderator or admin",
        acts=True,
    ),
    "bot on": Command(arguments.OfAccount, "admin", "mark an account as a program's", acts=True),
    "bot off": Command(arguments.OfAccount, "admin", "mark it as a person's again", acts=True),
    "account delete": Command(
        arguments.Deletion,
        "admin",
        "delete an account for good; its name stays taken",
        acts=True,
    ),
    "address-ban add": Command(
        arguments.NewBan,
        "admin",
        "ban an address or a network for a time: connections from there end, and are refused",
        acts=True,
    ),
    "address-ban remove": Command(
        arguments.OfNetwork,
        "admin",
        "lift the ban of an address or a network",
        acts=True,
    ),
    "address-ban list": Command(
        arguments.BanPage,
        "admin",
        "list from where nobody can connect, until when and why",
    ),
    "report list": Command(
        arguments.ReportPage,
        "owner",
        "list which messages people have reported, and why",
    ),
    "report show": Command(arguments.OfReport, "owner", "show a report, with the messages"),
    "report resolve": Command(
        arguments.Resolution,
        "owner",
        "resolve a report: it was looked into",
        acts=True,
    ),
    "report resolve-of": Command(
        arguments.ResolutionOf,
        "owner",
        "resolve all reports that somebody has made",
        acts=True,
    ),
    "invitation create": Command(
        arguments.NewInvitation,
        "admin",
        "create a code with which people can register",
        acts=True,
    ),
    "invitation list": Command(
        arguments.InvitationPage,
        "admin",
        "list the invitations, oldest first",
    ),
    "invitation show": Command(
        arguments.OfInvitation,
        "admin",
        "show an invitation, and who has registered with it",
    ),
    "invitation revoke": Command(
        arguments.OfInvitation,
        "admin",
        "revoke an invitation, so that nobody else registers with it",
        acts=True,
    ),
    "registration show": Command(arguments.Nothing, "admin", "show who may register"),
    "registration open": Command(
        arguments.Nothing,
        "admin",
        "open registration to everybody",
        acts=True,
    ),
    "registration invite": Command(
        arguments.Nothing,
        "admin",
        "restrict registration to people with an invitation",
        acts=True,
    ),
    "registration closed": Command(arguments.Nothing, "admin", "close registration", acts=True),
    "registration default": Command(
        arguments.Nothing,
        "admin",
        "go back to the configuration's mode",
        acts=True,
    ),
    "room hand-over": Command(
        arguments.NewOperator,
        "admin",
        "make an account an operator of a room, also of one that everybody has left",
        acts=True,
    ),
    "retention show": Command(arguments.Nothing, "admin", "say for how long what is kept"),
    "retention set": Command(
        arguments.NewRule,
        "admin",
        "set how long entries are kept, and how many; what exceeds it is removed for good",
        acts=True,
    ),
    "retention clear": Command(
        arguments.OfScope,
        "admin",
        "let the more general rule hold again",
        acts=True,
    ),
    "export room": Command(
        arguments.ExportedRoom,
        "owner",
        "write a room and its log to a file, as JSON Lines",
        acts=True,
        exports=True,
    ),
    "export account": Command(
        arguments.ExportedAccount,
        "owner",
        "write what the server has about a person to a file, as JSON Lines",
        acts=True,
        exports=True,
    ),
    "audit": Command(
        arguments.AuditPage,
        "admin",
        "list who did what here, and why, the newest first",
    ),
}
