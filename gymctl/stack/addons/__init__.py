"""Services that a stack has because of a setting."""
