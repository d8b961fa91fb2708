"""The product's HTTP face in its own process, as `sellable run` serves it: storing what arrives, or only answering.

Without storing everything else is the same: token and secret are verified, the body is read and recognised. Idle
connections are kept for a minute, as two of these are loaded by turns.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import uvicorn
import uvloop

from bench.stage import service_of
from sellable.cli.run import _bind, long_lived
from sellable.config.load import load
from sellable.connectors.commercetools import webhooks
from sellable.web.server import application


async def serve(settings_file: str, url: str, mode: str) -> None:
    """Until killed."""
    settings = load(Path(settings_file))
    service = service_of(settings, url, None)
    hook = settings.commercetools.webhook

    async def only_answer(token: str, headers: Mapping[str, str], body: bytes) -> int:
        assert webhooks.verify(token, headers, hook)
        return len(webhooks.recognise(body))

    # Nothing of the service runs here, and nobody misses it.
    face = replace(service.face(), alive=list)
    if mode == "answer":
        face = replace(face, webhooks={"commercetools": only_answer})
    bound = _bind("127.0.0.1:0")
    bound.listen(256)
    server = uvicorn.Server(
        uvicorn.Config(application(face), log_config=None, access_log=False, lifespan="off", timeout_keep_alive=60)
    )
    host, port = bound.getsockname()[:2]
    sys.stdout.write(json.dumps({"ready": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    long_lived()
    await server.serve(sockets=[bound])


if __name__ == "__main__":
    uvloop.run(asyncio.wait_for(serve(*sys.argv[1:4]), 600))
