"""What a connector really sent and was really answered, taken down between its HTTP client and the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec


@dataclass(frozen=True, kw_only=True)
class Call:
    """One exchange; `query` as (name, value) in order, bodies as JSON values, None where there was none."""

    method: str
    path: str
    query: list[tuple[str, str]]
    body: Any
    status: int
    answer: Any


@dataclass
class Recorder(httpx2.AsyncBaseTransport):
    """A network that keeps what passes; form bodies (a token's request) are left out, they are no JSON."""

    calls: list[Call] = field(default_factory=list)
    inner: httpx2.AsyncHTTPTransport = field(default_factory=httpx2.AsyncHTTPTransport)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sent = await request.aread()
        response = await self.inner.handle_async_request(request)
        content = await response.aread()
        await response.aclose()
        if "x-www-form-urlencoded" not in request.headers.get("content-type", ""):
            self.calls.append(
                Call(
                    method=request.method,
                    path=request.url.path,
                    query=list(request.url.params.multi_items()),
                    body=msgspec.json.decode(sent) if sent else None,
                    status=response.status_code,
                    answer=msgspec.json.decode(content) if content else None,
                )
            )
        return httpx2.Response(response.status_code, headers=response.headers, content=content, request=request)

    async def aclose(self) -> None:
        await self.inner.aclose()
