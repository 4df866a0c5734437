"""Rows to train on: read from a source, described, split."""
