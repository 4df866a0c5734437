"""The network: preprocessing, blocks, head; and what may be said about any module."""
