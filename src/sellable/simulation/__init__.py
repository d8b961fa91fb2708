"""The product against its opponents, judged from outside: processes, a replayed history, an oracle."""
