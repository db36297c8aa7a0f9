"""The proxy through which a server with a list of hosts (``egress``) calls them, and no others."""
