"""Measures gymctl and NeMo Gym on one machine, in one run. ``python -m benchmarks --help``."""
