"""Who may sign in, how, and the guard that every page asks."""
