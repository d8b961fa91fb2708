"""Durable machinery and the edge of the machine: database, inbox, operations, budgets, HTTP, telemetry."""
