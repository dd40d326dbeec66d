"""Breaks a real server, its network and its clients on purpose, and checks what must hold.

What is promised, and what was found: ``docs/explanation/reliability.md``. What breaks things:
:mod:`~gochat_faults.proxy` between client and server, :mod:`~gochat_faults.server_process` with
:mod:`~gochat_faults.crashing_server`, and :mod:`~gochat_faults.scenario`, which uses them at
random. What watches: :mod:`~gochat_faults.recorder` and :mod:`~gochat_faults.bare_client` note
what they said and saw in a :mod:`~gochat_faults.history`, and :mod:`~gochat_faults.checker` reads
that.
"""
