"""Bytes on a socket: uvicorn's connection, and shortcuts that bypass ASGI."""
