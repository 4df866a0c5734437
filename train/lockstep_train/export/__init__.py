"""From a fitted network to a proved artifact."""
