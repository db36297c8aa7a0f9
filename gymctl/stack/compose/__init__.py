"""The language of Compose files: its model, its YAML, its rules and its schema."""
