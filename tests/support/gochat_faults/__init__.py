"""Break a real server, its network and its clients on purpose, and check the invariant.

The invariant, and past findings: ``docs/explanation/reliability.md``. What breaks things:
:mod:`~gochat_faults.proxy` between client and server, :mod:`~gochat_faults.server_process` with
:mod:`~gochat_faults.crashing_server`, and :mod:`~gochat_faults.scenario`, which uses them at
random. What observes: :mod:`~gochat_faults.recorder`, :mod:`~gochat_faults.bare_client` and
:mod:`~gochat_faults.node_client` record what they sent and saw in a
:mod:`~gochat_faults.history`, and :mod:`~gochat_faults.checker` checks it.
"""
