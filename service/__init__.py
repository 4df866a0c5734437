"""The service that answers."""
