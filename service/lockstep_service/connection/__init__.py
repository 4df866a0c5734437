"""Bytes on a socket: uvicorn's connection, and the way past ASGI."""
