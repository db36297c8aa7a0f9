"""From files and the command line to one mapping: read, layered, merged, resolved."""
