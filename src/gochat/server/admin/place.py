"""Where the admin socket is."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from gochat.config import Config, default_store_path
from gochat.errors import ConfigError
from gochat.storage import REDIS_SCHEMES
from gochat.storage.common.sqlite_url import parse_url

#: What the name of a SQLite file gets appended.
SUFFIX: Final = ".admin"


def socket_path(config: Config) -> Path | None:
    """Return the path of the admin socket: None for a store in memory, if none is configured.

    By default it is beside the SQLite file, or for Redis in the user's data directory.

    Raises:
        ConfigError: the store's URL is invalid.
    """
    if config.admin.socket:
        return Path(config.admin.socket).absolute()
    if config.store_url.partition("://")[0] in REDIS_SCHEMES:
        return default_store_path().with_name(f"redis{SUFFIX}")
    path = parse_url(config.store_url).path
    return None if path is None else path.with_name(path.name + SUFFIX).absolute()


def require_safe(directory: Path) -> None:
    """Require that nobody else can put another socket in the place of the one in `directory`.

    Raises:
        ConfigError: others can write there.
        OSError: it can't be looked at.
    """
    found = directory.stat()
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"the admin socket can't be in {directory}: others can write there (mode "
            f"{stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}). Set admin.socket to a path "
            "in a directory of the server's user or root that only they can write in"
        )
