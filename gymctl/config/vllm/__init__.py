"""The `vllm:` block of a model server."""
