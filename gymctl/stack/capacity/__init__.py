"""What machines a stack needs, and which ports they open to each other."""
