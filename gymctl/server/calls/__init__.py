"""Calls from one server to another."""
