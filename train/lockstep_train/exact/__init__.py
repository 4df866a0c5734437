"""Exact precision: a fitted network as arithmetic in which no partial sum rounds."""
