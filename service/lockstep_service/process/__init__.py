"""The life of the processes: start, answer, drain, stop."""
