"""The opponents: one simulator a vendor, with its limits, lags and refusals.

Rule: nothing here imports any other room of ours.
"""
