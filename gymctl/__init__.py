"""Run NeMo Gym environments in containers: layered YAML in, a running stack out, rollouts collected from it."""

__version__ = "0.1.0"
