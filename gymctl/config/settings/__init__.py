"""The settings that a server's code declares, read from its source, and checked."""
