"""Offline scoring of tables, and answers as columns."""
