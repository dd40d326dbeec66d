"""gochat: the chat that people run themselves and use from the terminal.

The package is a stack; each layer imports only those below it::

    cli ─▶ server ─▶ storage ─▶ chat ─▶ protocol
    cli ─▶ tui ────▶ client ──────────▶ protocol
    (errors: from everywhere)

Programs start at :mod:`gochat.client`; the wire protocol is in :mod:`gochat.protocol`.
"""

__version__ = "0.1.0"
