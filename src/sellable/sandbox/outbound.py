"""Calls a vendor makes to us: extensions, deliveries of subscriptions, webhooks, pushes.

Rule: one replaceable function does the sending.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import httpx2

Headers = dict[str, str]
Post = Callable[[str, Headers, bytes], Awaitable[tuple[int, bytes]]]
"""Deliver a body to a URL: (url, headers, body) -> (status, answer)."""


class Outbound:
    """Posts to configured URLs; replace `post` to reach an application in process. Failures are OSError.

    `patience` is how many real seconds the vendor waits for an answer, asked for when the first call is made.
    """

    def __init__(self, post: Post | None = None, *, patience: Callable[[], float] = lambda: 30.0) -> None:
        self.post: Post = post or self._post
        self._patience = patience
        self._client: httpx2.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the background; without a running loop (while loading) nothing is sent."""
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def quiet(self) -> None:
        """Wait until every delivery under way has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await self.quiet()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _post(self, url: str, headers: Headers, body: bytes) -> tuple[int, bytes]:
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=self._patience(), follow_redirects=False, trust_env=False)
        try:
            answer = await self._client.post(url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            raise ConnectionError(str(error)) from error
        return answer.status_code, answer.content
