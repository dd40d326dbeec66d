"""The admin socket: where who runs the server steers it, with ``gochat admin``.

It is a unix socket that only root and the server's own user can use. Whoever reaches it is the
*owner* (:mod:`gochat.chat.server_roles`).

To add a command, write a handler and its row in a table like that of
:mod:`gochat.server.admin.audit`, and add the table to :data:`.commands.COMMANDS`. The command
line is made from the table, and so is its reference.
"""
