"""Run the checks of a server in processes of their own, or on a Ray cluster."""
