"""The processes of the service: start, answer, drain, stop."""
