"""The door for others: webhooks in, health, metrics and the console out."""
