"""Run a program that is given as a text, as ``python -c``: a script, so that it can be forked."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    code = sys.argv.pop(1)
    exec(code)  # the globals are this module's, so that it is `__main__`
