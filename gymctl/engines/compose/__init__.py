"""Docker Compose on one machine."""
