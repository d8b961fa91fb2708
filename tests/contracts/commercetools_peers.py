"""A shop of one test at a peer, and the peers: our simulator and an independent mock of the protocol."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from sellable.config import settings as config
from sellable.connectors.commercetools import Commercetools
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort

MOCK = "@labdigital/commercetools-mock@4.4.0"
PEER = Path(__file__).parent / "peer" / "peer.mjs"
INSTALL_SECONDS_MAX = 90


@dataclass
class Shop:
    """One test's project at a peer, and hands that do not belong to our connector."""

    address: str
    simulated: bool
    project: str = field(default_factory=lambda: f"shop-{uuid4().hex[:8]}")
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        clients = [{"id": "ours", "secret": "s3cret", "scopes": ["manage_project"]}]
        if self.simulated:
            switches = {"order_lag_seconds": 0, "message_visible_lag_seconds": 0}
            self.control("load", {"project": self.project, "clients": clients, "switches": switches})
        self.client = httpx2.Client(base_url=f"{self.address}/{self.project}")
        token = httpx2.post(
            f"{self.address}/oauth/token", auth=("ours", "s3cret"), data={"grant_type": "client_credentials"}
        )
        self.client.headers["authorization"] = f"Bearer {token.json()['access_token']}"

    def control(self, path: str, document: Any) -> None:
        reply = httpx2.post(f"{self.address}/_sandbox/{path}", json=document)
        assert reply.status_code == 200, reply.text

    def fault(self, match: str, *, drop: str = "", status: int = 0, retry_after: int | None = None) -> None:
        """The next POST whose path contains `match` is lost before or after its effect, or answered with a status."""
        if self.simulated:
            again = str(retry_after) if retry_after else None
            how = {"effect": "reset", "when": drop} if drop else {"effect": "status", "status": status}
            fault = {"name": "asked for", "match": f"POST .*{match}", "times": 1, **how, "retry_after": again}
            self.control("faults", [fault])
        else:
            fault = {"match": match, "drop": drop or None, "status": status, "retryAfter": retry_after}
            assert httpx2.post(f"{self.address}/__faults", json=[fault]).status_code == 200

    def post(self, path: str, document: Any) -> Any:
        reply = self.client.post(path, json=document)
        assert reply.status_code in (200, 201), reply.text
        return reply.json()

    def channel(self, key: str, *roles: str) -> str:
        return str(self.post("/channels", {"key": key, "roles": roles or ["InventorySupply"]})["id"])

    def entry(self, sku: str, quantity: int, channel: str | None = None, **more: Any) -> Any:
        supply = {"supplyChannel": {"typeId": "channel", "key": channel}} if channel else {}
        return self.post("/inventory", {"sku": sku, "quantityOnStock": quantity, **supply, **more})

    def run(self, story: Callable[[Commercetools], Awaitable[Any]], **changes: Any) -> Any:
        """What a story with our connector returns; it writes one by one over REST unless told otherwise."""
        settings = settings_of(self, **changes)

        async def go() -> Any:
            async with httpx2.AsyncClient() as client:
                return await story(Commercetools(HttpPort(client, Clock(), None), None, settings))

        return asyncio.run(go())


def settings_of(shop: Shop, **changes: Any) -> config.Commercetools:
    """Settings of our connector for this project; it writes one by one over REST unless told otherwise."""
    given: dict[str, Any] = {
        "project": shop.project,
        "client_id": "ours",
        "client_secret": "s3cret",
        "restocks_on_cancel": "no",
        "api_url": shop.address,
        "auth_url": shop.address,
        "insecure": True,
        "write_batch": 1,
    }
    return config.Commercetools(**{**given, **changes})


def serve(command: list[str]) -> Iterator[str]:
    """The address a server says it listens on; it is ended afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield msgspec.json.decode(process.stdout.readline())["ready"]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def installed(folder: Path, *packages: str) -> Path:
    """The folder with these packages of npm's registry; skips the test by their names where they cannot be had."""
    npm, names = shutil.which("npm"), ", ".join(packages)
    if npm is None or shutil.which("node") is None:
        pytest.skip(f"{names}: node and npm are missing")
    if not (folder / "installed").exists() or (folder / "installed").read_text() != names:
        install = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *packages]
        try:
            subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_SECONDS_MAX)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"{names}: not to be had from the registry ({type(error).__name__})")
        (folder / "installed").write_text(names)
    return folder


def installed_mock(folder: Path) -> list[str]:
    """The command that serves the mock, installed into a folder if need be; skips the test where it cannot be had."""
    shutil.copy(PEER, installed(folder, MOCK))
    return ["node", str(folder / PEER.name)]
