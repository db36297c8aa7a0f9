"""Rollouts as training data: which of them can be used, converted to what a trainer reads, with a manifest."""
