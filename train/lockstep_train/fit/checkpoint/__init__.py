"""A fit that was interrupted, as a file from which it goes on."""
