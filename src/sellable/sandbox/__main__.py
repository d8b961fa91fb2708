"""Serve one simulator: python -m sellable.sandbox commercetools|cin7|orderflow.

Rule: the only line on stdout says that it is ready.
"""

import argparse
import json
import sys
from pathlib import Path

import msgspec

from sellable.sandbox.serve import VENDORS, serve


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, load and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="sellable.sandbox", description=__doc__)
    parser.add_argument("vendor", choices=VENDORS)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=1, help="for faults and lags")
    parser.add_argument("--load", type=Path, help="a JSON seed")
    options = parser.parse_args(arguments)

    def ready(address: str) -> None:
        sys.stdout.write(json.dumps({"ready": address, "vendor": options.vendor}) + "\n")
        sys.stdout.flush()

    load = msgspec.json.decode(options.load.read_bytes(), type=dict) if options.load else None
    serve(options.vendor, options.seed, load, ready, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
