"""Servers as tasks of one process, without Docker."""
