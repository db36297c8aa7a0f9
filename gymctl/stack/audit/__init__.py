"""Audit of a stack: what is looked at, a table of rules, findings and a score."""
