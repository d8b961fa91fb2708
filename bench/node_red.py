"""Node-RED forwarding orders: http-in, a function that reshapes them, http-request to a sink, http-response."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.stage import Skipped

VERSION = "node-red@4"
HOME = Path(os.environ.get("BENCH_NODE_RED") or Path(tempfile.gettempdir()) / "sellable-bench-node-red")
RESHAPE = """
const o = msg.payload.order;
msg.headers = {"content-type": "application/json"};
msg.payload = {
  CustomerReference: o.orderNumber, ExternalID: o.id, Currency: o.totalPrice.currencyCode,
  Lines: o.lineItems.map(l => ({SKU: l.variant.sku, Quantity: l.quantity,
    Price: l.price.value.centAmount / 100, Total: l.totalPrice.centAmount / 100})),
  Total: o.totalPrice.centAmount / 100
};
return msg;
"""


def installed() -> Path:
    """Folder with Node-RED in it, fetched once from the npm registry. Raises Skipped."""
    if (HOME / "node_modules" / "node-red" / "red.js").exists():
        return HOME
    npm = shutil.which("npm")
    if npm is None:
        raise Skipped("npm is missing, so Node-RED cannot be measured beside us")
    HOME.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [npm, "install", "--prefix", str(HOME), "--no-audit", "--no-fund", VERSION], capture_output=True, timeout=240
    )
    if done.returncode:
        raise Skipped(f"npm install {VERSION} failed: {done.stderr.decode(errors='replace')[-200:]}")
    return HOME


def version(home: Path) -> str:
    """The installed version."""
    return str(json.loads((home / "node_modules/node-red/package.json").read_text())["version"])


@asynccontextmanager
async def running(home: Path, folder: Path, sink: str) -> AsyncIterator[str]:
    """The address that takes orders, while Node-RED runs with nothing but this flow."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = folder / "node-red"
    user.mkdir()
    (user / "flows.json").write_text(json.dumps(_flow(f"{sink}/orders")))
    (user / "settings.js").write_text(
        f'module.exports = {{uiHost: "127.0.0.1", uiPort: {port}, httpAdminRoot: false, '
        'flowFile: "flows.json", logging: {console: {level: "warn"}}, apiMaxLength: "5mb"}\n'
    )
    log = (folder / "node-red.log").open("wb")
    child = await asyncio.create_subprocess_exec(
        "node", str(home / "node_modules/node-red/red.js"), "-u", str(user), "-s", str(user / "settings.js"),
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        await _listening(port, child)
        yield f"http://127.0.0.1:{port}/orders"
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
        log.close()


async def _listening(port: int, child: asyncio.subprocess.Process) -> None:
    for _ in range(300):
        if child.returncode is not None:
            break
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            # The port opens a moment before the flow runs.
            await asyncio.sleep(2)
            return
        await asyncio.sleep(0.1)
    raise Skipped("Node-RED did not start")


def _flow(sink: str) -> list[dict[str, object]]:
    tab: dict[str, object] = {"id": "t", "type": "tab", "label": "orders"}
    take = {"id": "in", "type": "http in", "z": "t", "url": "/orders", "method": "post", "wires": [["fn"]]}
    shape = {"id": "fn", "type": "function", "z": "t", "func": RESHAPE, "outputs": 1, "wires": [["rq"]]}
    send = {"id": "rq", "type": "http request", "z": "t", "method": "POST", "ret": "obj", "url": sink,
            "persist": True, "wires": [["out"]]}  # fmt: skip
    return [tab, take, shape, send, {"id": "out", "type": "http response", "z": "t", "wires": []}]
