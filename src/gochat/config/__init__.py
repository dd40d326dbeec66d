"""The server's configuration: defaults < TOML file < environment < flags.

Each key is a field of :class:`Config`, with its bounds and its reason in its `Meta`;
``docs/reference/configuration.md`` is generated from them. A key has one name in four places::

    limits.burst = 20              [limits] in the file
    GOCHAT_LIMITS_BURST=20         in the environment
    --set limits.burst=20          as a flag
    config.limits.burst            in the program

An invalid configuration prevents the start, so a misspelt limit does not go unnoticed.
"""

from gochat.config.auth import Auth
from gochat.config.checks import contradictions
from gochat.config.limits import Limits
from gochat.config.listen import Listen
from gochat.config.schema import (
    KEYS,
    LISTEN_KEYS,
    NEEDS_RESTART,
    SECRET,
    Admin,
    Config,
    Key,
    Metrics,
    Registration,
    Tls,
    default_store_path,
)
from gochat.config.sources import (
    default_config_path,
    load_config,
    load_config_and_sources,
    load_store_url,
)

__all__ = [
    "KEYS",
    "LISTEN_KEYS",
    "NEEDS_RESTART",
    "SECRET",
    "Admin",
    "Auth",
    "Config",
    "Key",
    "Limits",
    "Listen",
    "Metrics",
    "Registration",
    "Tls",
    "contradictions",
    "default_config_path",
    "default_store_path",
    "load_config",
    "load_config_and_sources",
    "load_store_url",
]
