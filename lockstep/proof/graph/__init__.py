"""A model's graph, read once for all: how it is led through is no business of who reads it."""
