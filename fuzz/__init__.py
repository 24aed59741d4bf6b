"""Fuzzing of every parser: what each must do with any bytes at all, found out by coverage (`make fuzz`)."""
