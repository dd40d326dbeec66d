"""The Lua scripts: read once, loaded on every connection."""

from __future__ import annotations

from hashlib import sha1
from importlib import resources
from typing import Final

from msgspec import Struct

from gochat.storage.redis.records import (
    BanRow,
    InvitationRecord,
    ParticipantRow,
    Record,
    TokenRecord,
)


class Script(Struct, frozen=True):
    """A script, and the digest by which to call it."""

    source: bytes
    sha: str


#: What scripts read from packed arrays, by the names that the fields have in ``records.py``:
#: ``record[RECORD.kind]``, ``row[ROW.role]``.
_ARRAYS: Final = {
    "RECORD": Record,
    "ROW": ParticipantRow,
    "TOKEN": TokenRecord,
    "BAN": BanRow,
    "INVITATION": InvitationRecord,
}


def _read(name: str) -> Script:
    text = (resources.files("gochat.storage.redis") / "scripts" / f"{name}.lua").read_text("utf-8")
    for array, fields in _ARRAYS.items():
        if f"[{array}." in text:
            places = (f"{field} = {n}" for n, field in enumerate(fields.__struct_fields__, start=1))
            text = f"local {array} = {{ {', '.join(places)} }}\n{text}"
    source = text.encode()
    # Redis names scripts by their SHA-1; it protects nothing.
    return Script(source, sha1(source, usedforsecurity=False).hexdigest())


APPEND: Final = _read("append")
PAGE: Final = _read("page")
STANDING: Final = _read("standing")
SUMMARY: Final = _read("summary")
ACTIVITY: Final = _read("activity")
ACTIVITY_SEEN: Final = _read("activity_seen")
PINS: Final = _read("pins")
SAVE: Final = _read("save")
STATUS: Final = _read("status")
MARK: Final = _read("mark")
SEEK: Final = _read("seek")
BEAT: Final = _read("beat")
REGISTER: Final = _read("register")
PASSWORD: Final = _read("password")
CHECK_EPOCH: Final = _read("check_epoch")
RENEW: Final = _read("renew")
EXTEND: Final = _read("extend")
SNAPSHOT: Final = _read("snapshot")
LAG: Final = _read("lag")
REMOVE: Final = _read("remove")
INDEX: Final = _read("index")
CLAIM: Final = _read("claim")
RELEASE: Final = _read("release")
ACCOUNT_CHANGE: Final = _read("account_change")
AUDIT: Final = _read("audit")
NETWORK_BAN: Final = _read("network_ban")
REPORT_ADD: Final = _read("report_add")
REPORT_CHANGE: Final = _read("report_change")
TOKEN_ADD: Final = _read("token_add")
TOKEN_RENEW: Final = _read("token_renew")
INVITATION_ADD: Final = _read("invitation_add")
INVITATION_TAKE: Final = _read("invitation_take")
INVITATION_GIVE_BACK: Final = _read("invitation_give_back")

ALL: Final = (
    *(
        APPEND,
        PAGE,
        STANDING,
        SUMMARY,
        ACTIVITY,
        ACTIVITY_SEEN,
        PINS,
        SAVE,
        STATUS,
        MARK,
        SEEK,
        BEAT,
        REGISTER,
        PASSWORD,
        CHECK_EPOCH,
        RENEW,
        EXTEND,
        SNAPSHOT,
        LAG,
    ),
    *(INDEX, CLAIM, RELEASE, ACCOUNT_CHANGE, AUDIT, TOKEN_ADD, TOKEN_RENEW),
    *(REMOVE, NETWORK_BAN, REPORT_ADD, REPORT_CHANGE),
    *(INVITATION_ADD, INVITATION_TAKE, INVITATION_GIVE_BACK),
)
