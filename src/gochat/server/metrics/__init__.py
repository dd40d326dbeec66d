"""How the server is, for monitoring: metrics, whether it lives, and whether it is ready.

They have a listener of their own (`[metrics]` in the configuration), apart from that of the chat.
What is measured all the time are plain numbers, which the parts of the server count for themselves
and which are only read when somebody asks. ``docs/reference/metrics.md`` lists them.
"""
