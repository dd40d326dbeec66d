"""A chat without a server, for the demonstration and for tests."""
