"""Collecting rollouts: rows in, results journalled, failures kept, metrics and a report out.

Import what you need from the modules: ``spec.RunSpec``, ``collector.collect``, ``report.Report``, ``progress``.
This file imports nothing, so that a command that only prints help does not pay for the collector.
"""
