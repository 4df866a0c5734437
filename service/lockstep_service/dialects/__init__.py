"""The dialects of HTTP, one file each."""
