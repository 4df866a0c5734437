"""What all answers over HTTP share."""
