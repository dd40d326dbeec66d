"""The place of a database that is made beside it and moved there when it is whole."""

from __future__ import annotations

import os
from pathlib import Path

from gochat.errors import ConfigError, StoreUnavailable


def publish(partial: Path, target: Path, rule: str) -> None:
    """Give a whole file its name, unless that is taken; `rule` says why not then.

    Raises:
        ConfigError: the name is taken.
        StoreUnavailable: it can't be written.
    """
    try:
        descriptor = os.open(partial, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if os.name == "posix":
            os.link(partial, target)  # which, other than renaming, overwrites nothing
        else:
            partial.rename(target)  # overwrites nothing on Windows
    except FileExistsError:
        raise ConfigError(f"{target} exists already; {rule}") from None
    except OSError as error:
        raise StoreUnavailable(f"{target} can't be written: {error.strerror}") from error
