"""The HTTP API for programs: the same questions and acts as the console, for tokens, as JSON."""
