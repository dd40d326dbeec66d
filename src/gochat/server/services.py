"""The parts that a server's handlers share; created once, in :mod:`gochat.server.composition`."""

from __future__ import annotations

from dataclasses import dataclass

from gochat.chat.accounts import Accounts
from gochat.chat.admission import Admission
from gochat.chat.directory import Directory
from gochat.chat.drafts import Drafts
from gochat.chat.hashing import HashingQueue
from gochat.chat.moderation import Moderation
from gochat.chat.retries import Retries
from gochat.chat.rooms import RoomDrafts
from gochat.chat.store import Store
from gochat.chat.tokens import Tokens
from gochat.config import Config
from gochat.histogram import Histogram
from gochat.server.address_bans import AddressBans
from gochat.server.auth_command import AuthCommand
from gochat.server.budget import Budgets
from gochat.server.crowding import Anonymous
from gochat.server.daily_quotas import Quotas
from gochat.server.deleted_accounts import DeletedAccounts
from gochat.server.delivery import Delivery
from gochat.server.hub import Hub
from gochat.server.identity import ServerIdentity
from gochat.server.journal import Journal
from gochat.server.limits import ConnectionLimiter, LoginLimiter
from gochat.server.login_line import LoginLines
from gochat.server.markers import Markers
from gochat.server.rechecks import Rechecks
from gochat.server.registrations import RegistrationLimiter
from gochat.server.reports import ReportKeeper
from gochat.server.retention import Retention
from gochat.server.revocation import Revocations
from gochat.server.roles import Roles


@dataclass(slots=True)
class Services:
    """The shared parts of one server."""

    #: As it is now: a reload replaces it, so nobody keeps a part of it
    #: (:func:`gochat.server.composition.configure`).
    config: Config
    store: Store
    directory: Directory
    delivery: Delivery
    hub: Hub
    accounts: Accounts
    admission: Admission
    auth_command: AuthCommand
    hashing: HashingQueue
    tokens: Tokens
    revocations: Revocations
    address_bans: AddressBans
    rechecks: Rechecks
    roles: Roles
    drafts: Drafts
    #: For :func:`gochat.chat.at_once.at_once`.
    drafts_at_once: Drafts
    rooms: RoomDrafts
    moderation: Moderation
    retries: Retries
    budgets: Budgets
    quotas: Quotas
    connections: ConnectionLimiter
    #: The sessions on which nobody is logged in: however many people are online, only these are
    #: looked at when one of them has to make room.
    anonymous: set[Anonymous]
    logins: LoginLimiter
    login_lines: LoginLines
    markers: Markers
    registrations: RegistrationLimiter
    retention: Retention
    report_keeper: ReportKeeper
    deleted: DeletedAccounts
    journal: Journal
    identity: ServerIdentity
    #: Seconds from asking the store to append until it has, or has refused.
    append_seconds: Histogram
