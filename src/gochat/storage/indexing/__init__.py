"""What makes SQLite's search index: in a thread of the server, or in a process of its own.

Nothing here imports more than Python's own library and :mod:`gochat.storage.common`, so the process
starts in a twentieth of a second, and is small.
"""
