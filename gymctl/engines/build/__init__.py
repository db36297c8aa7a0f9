"""Images: their build contexts, and when a build can be skipped."""
