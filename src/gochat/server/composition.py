"""Create the parts of a server from its configuration."""

from __future__ import annotations

import argon2
import trio

from gochat.chat.accounts import Accounts
from gochat.chat.admission import Admission
from gochat.chat.directory import Directory
from gochat.chat.drafts import Drafts
from gochat.chat.hashing import HashingQueue
from gochat.chat.moderation import Moderation
from gochat.chat.passwords import Passwords
from gochat.chat.retries import Retries
from gochat.chat.rooms import RoomDrafts
from gochat.chat.store import Store
from gochat.chat.tokens import Tokens
from gochat.config import Config, Limits
from gochat.histogram import SECONDS, Histogram
from gochat.server.address_bans import AddressBans
from gochat.server.auth_command import AuthCommand
from gochat.server.budget import Budgets
from gochat.server.daily_quotas import Quotas
from gochat.server.deleted_accounts import DeletedAccounts
from gochat.server.delivery import Delivery
from gochat.server.hub import Hub
from gochat.server.identity import ServerIdentity
from gochat.server.journal import Journal
from gochat.server.limits import ConnectionLimiter, LoginLimiter, WriteLimiter, max_connections
from gochat.server.login_line import LoginLines
from gochat.server.markers import Markers
from gochat.server.rechecks import Rechecks
from gochat.server.registrations import RegistrationLimiter
from gochat.server.reports import ReportKeeper
from gochat.server.retention import Retention
from gochat.server.revocation import Revocations
from gochat.server.roles import Roles
from gochat.server.services import Services
from gochat.storage.common.clock import wall_clock


def compose(config: Config, store: Store, delivery: Delivery) -> Services:
    """Return the parts of a server on an open store."""
    limits = config.limits
    directory = Directory(store)
    hub = Hub(
        delivery,
        write_limiter=WriteLimiter(limits.burst, limits.per_second),
        publish=store.node_bus.publish if store.node_bus is not None else lambda _: None,
    )
    hashing = HashingQueue(limits.hashing_queue)
    journal = Journal(limits.connections_per_address)
    auth_command = AuthCommand(config.auth, journal)
    accounts = Accounts(
        store,
        wall_clock,
        passwords=passwords(limits),
        queue=hashing,
        directory=auth_command,
        reserved_names=config.registration.reserved_names,
    )
    tokens = Tokens(store, wall_clock, lifetime=_lifetime(limits))
    revocations = Revocations(store, hub, tokens)
    return Services(
        config=config,
        store=store,
        directory=directory,
        delivery=delivery,
        hub=hub,
        accounts=accounts,
        admission=Admission(store, wall_clock, config.registration.mode, auth_command),
        auth_command=auth_command,
        hashing=hashing,
        tokens=tokens,
        revocations=revocations,
        address_bans=AddressBans(store, hub.publish),
        rechecks=Rechecks(store, hub, revocations, auth_command),
        roles=Roles(store, hub),
        drafts=Drafts(store, directory, limits.text_chars),
        drafts_at_once=Drafts(store.at_once, directory.at_once, limits.text_chars),
        rooms=RoomDrafts(store, directory, config.registration.reserved_rooms),
        moderation=Moderation(store, directory),
        retries=Retries(store, directory),
        budgets=Budgets(limits, trio.current_time),
        quotas=Quotas(limits),
        connections=ConnectionLimiter(limits, max_connections(limits)),
        anonymous=set(),
        logins=LoginLimiter(limits),
        login_lines=LoginLines(limits.login_interval, limits.login_line),
        markers=Markers(store, hub),
        registrations=RegistrationLimiter(limits, trio.current_time),
        retention=Retention(store),
        report_keeper=ReportKeeper(store, directory, hub),
        deleted=DeletedAccounts(store, directory),
        journal=journal,
        identity=ServerIdentity(config.key_file),
        append_seconds=Histogram(SECONDS),
    )


def configure(services: Services, config: Config, passwords: Passwords) -> None:
    """Make the parts of a running server work by another configuration.

    Keys that need a restart must be unchanged. `passwords` is :func:`passwords` of its limits.
    Whatever is read from `services.config` when it is needed is not mentioned here.
    """
    limits, registration = config.limits, config.registration
    services.config = config
    services.hub.limit_writes(limits.burst, limits.per_second)
    services.accounts.configure(passwords, registration.reserved_names)
    services.auth_command.configure(config.auth)
    services.admission.configure(registration.mode)
    services.hashing.max_waiting = limits.hashing_queue
    services.tokens.lifetime = _lifetime(limits)
    for drafts in (services.drafts, services.drafts_at_once):
        drafts.max_text = limits.text_chars
    services.rooms.reserve(registration.reserved_rooms)
    services.budgets.configure(limits)
    services.quotas.configure(limits, trio.current_time())
    services.connections.configure(limits, max_connections(limits))
    services.logins.configure(limits)
    services.login_lines.configure(limits.login_interval, limits.login_line)
    services.registrations.configure(limits)
    services.journal.configure(limits.connections_per_address)


def passwords(limits: Limits) -> Passwords:
    """Return what hashes and checks passwords. It hashes one, which takes some 20 ms or more."""
    hasher = argon2.PasswordHasher(
        time_cost=limits.argon2_time,
        memory_cost=limits.argon2_memory,
        parallelism=limits.argon2_parallelism,
    )
    return Passwords(hasher, range(limits.password_min, limits.password_max + 1))


def _lifetime(limits: Limits) -> int:
    """Return for how long tokens are valid, in milliseconds."""
    return int(limits.token_lifetime * 1000)
