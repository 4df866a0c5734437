"""The repository: which version of a model answers."""
