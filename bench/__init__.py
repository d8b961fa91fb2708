"""Figures of this machine: `make bench`, or `make bench BENCH=name` for one. Nothing here is asserted by time."""
