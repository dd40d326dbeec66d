"""Carry out what the person asks for. The only package that calls the client."""
