"""`sellable openapi`: the HTTP API, described for programs that make clients."""

from __future__ import annotations

import msgspec
import typer

from sellable.web.api.openapi import document


def openapi() -> None:
    """Print the OpenAPI 3.1 description of the HTTP API, as the service answers it at /api/v1/openapi.json.

    Exit codes: 0 printed.
    """
    typer.echo(msgspec.json.format(msgspec.json.encode(document()), indent=2).decode())
