"""What stands before each message of an Arrow stream, and which kinds of messages there are."""

from __future__ import annotations

CONTINUATION = b"\xff\xff\xff\xff"
SCHEMA, DICTIONARY, BATCH = 1, 2, 3
