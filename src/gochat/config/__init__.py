"""The server's configuration: defaults < TOML file < environment < flags.

Each key is a field of :class:`Config` and has its bounds and its reason there, in its `Meta`;
``docs/reference/configuration.md`` is made from them. One name in four places::

    limits.burst = 20              [limits] in the file
    GOCHAT_LIMITS_BURST=20         in the environment
    --set limits.burst=20          as a flag
    config.limits.burst            in the program

A configuration that can't be used stops the start: nobody finds a misspelt limit by its absence.
"""

from gochat.config.schema import KEYS, Config, Key, Limits, Registration, Tls, default_store_path
from gochat.config.sources import (
    default_config_path,
    load_config,
    load_config_and_sources,
    load_store_url,
)

__all__ = [
    "KEYS",
    "Config",
    "Key",
    "Limits",
    "Registration",
    "Tls",
    "default_config_path",
    "default_store_path",
    "load_config",
    "load_config_and_sources",
    "load_store_url",
]
