"""Rows: their files, the names of their fields, and where they go."""
