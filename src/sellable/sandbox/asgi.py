"""The few ASGI pieces the simulators share: types, reading a body, answering, cutting the line."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LineCut(ConnectionResetError):
    """The simulator closed the connection without an answer (raised only when no real socket carries the call)."""


async def read_body(receive: Receive) -> bytes:
    """The whole request body."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives an already read body once more, then what the server says next."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def answer(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """One whole response; its Content-Length is computed, its Content-Type defaults to JSON."""
    sent = [(b"content-length", str(len(body)).encode()), *headers]
    if not any(name == b"content-type" for name, _ in sent):
        sent.append((b"content-type", b"application/json; charset=utf-8"))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def cut_line(receive: Receive, send: Send) -> None:
    """Close the connection without an answer: abort the socket of `send.transport`, or raise LineCut without one."""
    transport = getattr(send, "transport", None)
    if transport is None:
        raise LineCut("the sandbox cut the line")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
