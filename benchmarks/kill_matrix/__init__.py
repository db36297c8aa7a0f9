"""Kills, freezes and starves what a collection consists of, and looks whether anything was lost or made up.

``python -m benchmarks.kill_matrix --help``.
"""
