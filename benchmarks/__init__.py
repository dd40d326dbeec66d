"""Measurements, each a program that says what it measured: ``make bench``."""
