"""The dialects of HTTP, one file or folder each."""
