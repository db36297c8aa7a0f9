"""Networks of a stack: outbound access, calls between servers, and the resulting networks."""
