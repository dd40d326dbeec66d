"""The server: sessions, their requests and limits, and delivery to sockets."""
