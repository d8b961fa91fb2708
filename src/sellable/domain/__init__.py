"""The words of the trade as values: no I/O, no clock, nothing of ours imported."""
