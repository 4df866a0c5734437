"""The service: it answers requests over HTTP."""
