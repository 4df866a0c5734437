"""Forms in which rows travel: bytes on one side, float32 ``[n, d]`` on the other."""
