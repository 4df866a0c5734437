"""The report: what was seen while training and measured after it, for people."""
