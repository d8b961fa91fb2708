"""The desk: what a person must own. Cases, what is parked behind them, and how they are told."""
