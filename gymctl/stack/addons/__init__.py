"""Services that a stack has because a setting asks for them."""
