"""Networks of a stack: who needs a way out, who calls whom, and the networks that follow."""
