"""What of the configuration each container receives."""
