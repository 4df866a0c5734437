"""Batching: requests that wait at the same time run as one batch."""
