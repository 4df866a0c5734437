"""The report: what was seen while training and measured after it, for people."""

from lockstep_train.report.curves import curve_columns, curve_rows, describe

__all__ = ["curve_columns", "curve_rows", "describe"]
