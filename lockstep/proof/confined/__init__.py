"""The audit of a file that nobody trusts, in a process that can do nothing but read it."""
