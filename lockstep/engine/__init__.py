"""What runs an artifact: one file for each library."""
