"""The audit: reading a model file, and finding what is, or can be put, in training mode."""
