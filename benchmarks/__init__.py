"""Measures gymctl beside NeMo Gym on one machine, in one run. ``python -m benchmarks --help``."""
