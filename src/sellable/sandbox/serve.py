"""One simulator behind a real socket. Rule: it says where it listens once it does, and nothing before."""

import importlib
import socket
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn

from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox

VENDORS = ("commercetools", "cin7", "orderflow")


class _Server(uvicorn.Server):
    """A server that tells when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def serve(
    vendor: str, seed: int, load: Mapping[str, Any] | None, ready: Callable[[str], None], *, host: str, port: int
) -> None:
    """Build, load and serve until a signal; port 0 takes a free one, `ready` hears the address.

    Raises OSError where the port is taken, ValueError or KeyError on a bad `load`.
    """
    sandbox: Sandbox = importlib.import_module(f"sellable.sandbox.{vendor}").build(Clock.from_environment(), seed)
    if load is not None:
        sandbox.load(dict(load))
    listener = socket.create_server((host, port), backlog=1024)
    address = f"http://{host}:{listener.getsockname()[1]}"
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
    _Server(config, lambda: ready(address)).run(sockets=[listener])
