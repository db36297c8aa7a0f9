"""Create and test a user's own environments."""
