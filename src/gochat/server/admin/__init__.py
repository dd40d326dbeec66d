"""The admin socket: where who runs the server steers it, with ``gochat admin``.

It is a unix socket that only root and the server's own user can use. Whoever reaches it is the
*owner* (:mod:`gochat.chat.server_roles`).

To add a command, write its arguments (:mod:`.arguments`), its row in :data:`.commands.COMMANDS`,
and a handler as in :mod:`.audit`. The command line is made from the table, and so is its reference;
it loads no handlers.
"""
