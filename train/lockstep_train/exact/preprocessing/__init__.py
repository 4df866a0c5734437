"""The preprocessing of a fitted network in whole numbers."""
