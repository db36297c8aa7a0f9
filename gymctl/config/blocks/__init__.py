"""The blocks of a configuration as pydantic models: one field for each key, read with file and line."""
