"""The order book: orders, lines, parts and shipments, their states, and what each system has been told."""
