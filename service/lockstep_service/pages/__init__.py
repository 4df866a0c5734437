"""What the service shows to people and to their tools."""
