"""`python -m sellable` is the command line."""

from sellable.cli import main

main()
