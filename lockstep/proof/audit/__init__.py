"""The audit: reads a model file, and finds operators that are, or can get, in training mode."""
