"""Requests and answers over HTTP, as all dialects share them."""
