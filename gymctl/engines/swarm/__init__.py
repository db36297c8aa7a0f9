"""The Swarm engine: a stack on many machines."""
