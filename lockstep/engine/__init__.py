"""The engines that run an artifact: one file for each library."""
