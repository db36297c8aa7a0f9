"""Start a server, serve it, and stop it without losing a call."""
