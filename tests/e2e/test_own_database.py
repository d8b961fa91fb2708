"""The service with a database of its own, whose server dies under it: it is started again, and the service goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest

from sellable.config.secrets import new_key
from sellable.runtime.postgres import EmbeddedServer
from sellable.sandbox.shop import Shop
from sellable.simulation.processes import Process, until

NOWHERE = "http://127.0.0.1:9"
"""No vendor is needed to be ready."""


def service(folder: Path) -> Process:
    key = folder / "payload.key"
    key.write_text(new_key(), encoding="utf-8")
    text = Shop.demo(1, 3, 1).settings_toml(
        NOWHERE, NOWHERE, str(folder / "database"), "", start_at="2026-01-01T00:00:00Z", payload_key=f"file:{key.name}"
    )
    (folder / "sellable.toml").write_text(text, encoding="utf-8")
    words = ["-m", "sellable", "run", "--config", str(folder / "sellable.toml"), "--listen", "127.0.0.1:0"]
    return Process("sellable", words, folder / "service.log", {})


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_database_that_died_is_started_again_by_the_service(tmp_path: Path) -> None:
    note = EmbeddedServer(tmp_path / "database")

    def postmaster() -> int:
        """0 while there is none."""
        file = note.cluster / "postmaster.pid"
        words = file.read_text().split() if file.exists() else []
        return int(words[0]) if words else 0

    async def story() -> None:
        running = service(tmp_path)
        async with httpx2.AsyncClient(timeout=20.0, trust_env=False) as http:
            address = await running.start()
            try:
                killed, pid = postmaster(), running.pid
                os.kill(killed, signal.SIGKILL)

                async def ready() -> bool:
                    if postmaster() in (0, killed):
                        return False
                    return bool((await http.get(f"{address}/ready")).json()["ready"])

                assert await until(ready, 60.0), running.last_words()
                assert running.pid == pid
                assert "was started again" in running.last_words()
            finally:
                ended = await running.stop()
        assert ended == 0, running.last_words()

    asyncio.run(story())
