"""The audit of an untrusted file, in a process that can do nothing but read it."""
