"""The order's life as processes: captured, sourced, exported, fulfilled, cancelled. One lane for each order."""
