"""Serve one simulator: python -m sellable.sandbox commercetools|cin7|orderflow.

Rule: the only line on stdout says that it is ready.
"""

import argparse
import importlib
import json
import socket
import sys
from pathlib import Path

import msgspec
import uvicorn

from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox

VENDORS = ("commercetools", "cin7", "orderflow")


class _Server(uvicorn.Server):
    """A server that says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, ready: dict[str, str]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(json.dumps(self._ready) + "\n")
        sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, load and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="sellable.sandbox", description=__doc__)
    parser.add_argument("vendor", choices=VENDORS)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=1, help="for faults and lags")
    parser.add_argument("--load", type=Path, help="a JSON seed")
    options = parser.parse_args(arguments)
    sandbox: Sandbox = importlib.import_module(f"sellable.sandbox.{options.vendor}").build(
        Clock.from_environment(), options.seed
    )
    if options.load:
        sandbox.load(msgspec.json.decode(options.load.read_bytes()))
    listener = socket.create_server((options.host, options.port), backlog=1024)
    address = f"http://{options.host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        sandbox.asgi,
        interface="asgi3",
        proxy_headers=False,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    _Server(config, {"ready": address, "vendor": options.vendor}).run(sockets=[listener])


if __name__ == "__main__":
    main()
