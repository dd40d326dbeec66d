"""``python -m gochat`` is ``gochat``."""

from __future__ import annotations

import sys

from gochat.cli import main

if __name__ == "__main__":
    sys.exit(main())
