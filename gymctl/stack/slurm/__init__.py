"""Slurm: a stack on the nodes of a job."""
