"""Connections to Redis: addresses, servers, pipelines, and whether the data is still the same."""
